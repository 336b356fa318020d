"""Ground truth that arrives late: upload, tables and a summary."""
