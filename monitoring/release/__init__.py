"""Promotion by hand, and the reconciler between the registry and the servers."""
