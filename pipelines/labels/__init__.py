"""Labelled predictions as training data, and the filters that guard it."""
