"""Benchmarks of the statistics: false-alarm rates and power of drift tests and rollout decisions."""
