"""Benchmarks of the default networks on public tables."""
