"""Metrics, bootstrap intervals and slices, one implementation for training and monitoring."""
