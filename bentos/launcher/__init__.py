"""Starts the prediction service and its follower as processes."""
