"""Smoke test: checks a deployment through its HTTP API, as a client sees it."""

from bentos.smoke.check import Check
from bentos.smoke.client import Client
from bentos.smoke.expectations import Expected, read_reference
from bentos.smoke.suite import smoke

__all__ = ["Check", "Client", "Expected", "read_reference", "smoke"]
