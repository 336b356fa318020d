"""What happened to a model and whether it is still what was registered."""
