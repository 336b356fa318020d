"""Checks, jobs and reports that the scenarios share."""
