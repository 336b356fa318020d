"""Lag: how long what is ready waits for the event loop, because of what else is ready.

No request knows how long it lay in its socket, nor its answer how long it will lie, so both are taken to be what a
timer has seen that should have been called at a known time.
"""

from __future__ import annotations

import asyncio
import time

PERIOD = 0.02  # seconds
_FADES = 0.5  # of a high lag is still expected in the next period


class Lag:
    """`seconds` is the worst of late."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(PERIOD)
            self.seen(time.perf_counter() - began - PERIOD)

    def seen(self, seconds: float) -> None:
        self.seconds = max(seconds, _FADES * self.seconds)
