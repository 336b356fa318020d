"""Slipway: from a push to main to a watched model in production, and back again when the world changes."""

__version__ = "0.1.0"

__all__ = ["__version__"]
