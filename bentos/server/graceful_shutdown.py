"""Graceful shutdown: after SIGTERM a worker reports that it is not ready, and answers for some seconds more.

uvicorn closes idle connections at once, also where a request is on its way to it. A load balancer that learns first
that the worker is not ready sends no more requests, and a client whose response closes its connection opens another.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

from bentos.server import supervisor


def drain_before_shutdown(seconds: float, start_draining: Callable[[], None]) -> None:
    """On SIGTERM call `start_draining`, and uvicorn's own handler `seconds` later. Call this in the main thread."""
    shut_down = signal.getsignal(signal.SIGTERM)
    if not supervisor.is_present() or not callable(shut_down):
        return
    loop = asyncio.get_running_loop()
    draining = False

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal draining
        if not draining:
            draining = True
            start_draining()
            loop.call_soon_threadsafe(loop.call_later, seconds, shut_down, number, frame)

    signal.signal(signal.SIGTERM, drain)
