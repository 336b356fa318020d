"""What a bundle and an MLflow run hold beside the network."""
