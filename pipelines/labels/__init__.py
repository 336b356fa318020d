"""Labelled predictions as training data, change points in them, and filters."""
