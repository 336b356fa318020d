"""Benchmarks of the reader of tables."""
