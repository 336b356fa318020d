"""Cluster scenario: Slipway is installed on a real cluster, used and disrupted under load, and every part checked."""
