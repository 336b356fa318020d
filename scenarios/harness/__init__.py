"""Checks, jobs, reports, and servers that monitor: what the scenarios share."""
