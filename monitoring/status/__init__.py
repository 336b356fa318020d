"""Status page: what runs, in which version, and the last verdicts."""
