"""Contents of a bundle and of an MLflow run other than the network."""
