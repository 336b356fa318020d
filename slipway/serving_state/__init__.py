"""Desired and observed state of the servers, as files."""
