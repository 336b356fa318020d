"""Retraining: triggers, policy, decisions and the webhook for alerts."""
