"""Monitoring: what was logged, compared with what was promised."""
