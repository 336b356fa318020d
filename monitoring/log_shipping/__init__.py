"""Moves the prediction log to its sinks, and exports how far it is."""
