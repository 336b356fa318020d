"""The demo: the whole path once, with the processes and commands that a person would use, and every part checked."""

from __future__ import annotations

from scenarios.demo.scenario import Demo
from scenarios.harness.checks import Check, Result, table

__all__ = ["Check", "Demo", "Result", "table"]
