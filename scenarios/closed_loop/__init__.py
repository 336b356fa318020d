"""The loop: from a change in the world to a better model in production, unattended, and a bad one taken back."""

from __future__ import annotations

from scenarios.closed_loop.faulty_models import KINDS
from scenarios.closed_loop.scenario import ClosedLoop, ClosedLoopResult

__all__ = ["KINDS", "ClosedLoop", "ClosedLoopResult"]
