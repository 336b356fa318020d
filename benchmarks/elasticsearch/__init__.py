"""Benchmarks of the second copy of the log: its shipper, its searches and what they cost, on a real Elasticsearch."""
