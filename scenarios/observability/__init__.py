"""Observability: each fault of a running deployment is provoked, and its alerts are observed until they clear."""
