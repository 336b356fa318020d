"""The demo: the whole path once, with the processes and commands that a person would use, and every part checked."""

from __future__ import annotations

from slipway.demo.checks import Check, Result, table
from slipway.demo.demo import Demo

__all__ = ["Check", "Demo", "Result", "table"]
