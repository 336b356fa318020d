"""The object store under `SLIPWAY_LOG_URL`: a folder or S3."""
