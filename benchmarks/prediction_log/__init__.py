"""Benchmark of reading the prediction log before and after its compaction."""
