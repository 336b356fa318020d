"""Reports of a verdict: a page, Evidently's page and an MLflow run."""
