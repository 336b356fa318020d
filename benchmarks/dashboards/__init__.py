"""Benchmark of the dashboards: how long their queries take on a day of many models."""
