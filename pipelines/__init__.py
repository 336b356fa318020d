"""Training: the pipeline, its steps, and the Prefect flows that run them."""
