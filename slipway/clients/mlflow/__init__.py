"""A client of MLflow's REST API without the MLflow package."""
