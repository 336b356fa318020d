"""Reports of a verdict: an HTML page, Evidently's page and an MLflow run."""
