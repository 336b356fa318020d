"""Closed loop: concept drift is detected, a retrained model is rolled out unattended, and a faulty one rolled back."""

from __future__ import annotations

from scenarios.closed_loop.faulty_models import KINDS
from scenarios.closed_loop.scenario import ClosedLoop, ClosedLoopResult

__all__ = ["KINDS", "ClosedLoop", "ClosedLoopResult"]
