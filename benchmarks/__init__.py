"""Benchmarks: what the documentation says in figures, measured again by `make bench`."""
