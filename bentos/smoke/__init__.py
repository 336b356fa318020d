"""Smoke test: what a client sees of a deployment, and whether that is what it should be."""

from slipway.smoke.check import Check
from slipway.smoke.client import Client
from slipway.smoke.expected import Expected, read_reference
from slipway.smoke.smoke import smoke

__all__ = ["Check", "Client", "Expected", "read_reference", "smoke"]
