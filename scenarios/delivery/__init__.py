"""Rehearsal of the delivery: pushes to a repository of this machine run the workflows, as far as into a cluster."""
