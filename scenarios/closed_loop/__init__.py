"""The loop: from a change in the world to a better model in production, unattended, and a bad one taken back."""

from __future__ import annotations

from slipway.loop.loop import Loop, LoopResult
from slipway.loop.sabotage import KINDS

__all__ = ["KINDS", "Loop", "LoopResult"]
