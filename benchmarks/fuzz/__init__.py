"""Hostile requests, made from a seed, and the run that sends them: `python -m benchmarks.fuzz`; tests do the same."""
