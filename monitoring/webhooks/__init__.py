"""Webhooks: requests of other servers, received within limits; MLflow's are signed."""
