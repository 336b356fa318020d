"""The training side: one module per step, and the flow that puts them in order."""
