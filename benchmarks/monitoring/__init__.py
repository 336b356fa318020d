"""Benchmarks of monitoring: time and memory of verdicts, and memory of the processes that run for long."""
