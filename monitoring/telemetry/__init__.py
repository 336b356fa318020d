"""Telemetry of the running services for the status page: traffic of the last hour, error budgets, runs and alerts."""
