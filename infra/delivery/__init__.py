"""Delivery: from a pushed commit to trained models, signed images and a deployment, in CI and on a laptop alike."""
