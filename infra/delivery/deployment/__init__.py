"""Deployment of a release to a namespace: lock, rollout, smoke test, and the way back."""
