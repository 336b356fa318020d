"""Demo of the whole path from data to a monitored model, with the processes and commands of a user, all checked."""

from __future__ import annotations

from scenarios.demo.scenario import Demo

__all__ = ["Demo"]
