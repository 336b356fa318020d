"""Training of a changed use case: on the Prefect work pool or on this machine, and its result as Markdown."""
