"""The figures of the table in docs/explanation/serving-performance.md, a module for each kind."""
