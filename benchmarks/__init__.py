"""Benchmarks: `make bench` measures the figures of the documentation again."""
