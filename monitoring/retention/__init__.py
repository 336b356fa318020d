"""Retention: what is kept for how long, and the pass of the watch process that removes the rest."""
