"""Data of a use case: sources, column types, expectations and row identity."""
