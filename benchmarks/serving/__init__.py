"""Benchmarks of the prediction service against other servers; `python -m benchmarks.serving` runs them."""
