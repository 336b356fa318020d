"""Benchmarks of the prediction service beside its peers; `python -m benchmarks.serving` runs them."""
