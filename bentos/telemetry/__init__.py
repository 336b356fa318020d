"""Metrics and health warnings of the prediction service."""
