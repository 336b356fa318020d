"""Clients of other services: MLflow, Prefect, a prediction server."""
