"""The retraining policy: what triggers it, what it decides, and its webhook."""
