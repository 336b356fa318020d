"""A training run: its directory, fingerprint, baseline and summary."""
