"""Faults of a deployment, each with the alerts that must follow it."""
