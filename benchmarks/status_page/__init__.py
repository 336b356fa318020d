"""Benchmark of the status page: time and size with many models."""
