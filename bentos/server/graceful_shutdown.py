"""Drain: the first moments after SIGTERM, in which a worker says that it ends and answers all the same.

uvicorn closes idle connections at once, also where a request is on its way to it. Told before that it is not ready, a
load balancer sends no more; told with an answer that its connection ends, a client opens another one.
"""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

from bentos.server import supervisor
from bentos.worker import Worker


def drain_first(worker: Worker) -> None:
    """Put `settings.drain_seconds` of draining before what uvicorn does on SIGTERM. Call it in the main thread."""
    then = signal.getsignal(signal.SIGTERM)
    if not supervisor.is_there() or not callable(then):
        return
    loop = asyncio.get_running_loop()

    def begin(number: int, frame: FrameType | None) -> None:
        if not worker.draining:
            worker.draining = True
            loop.call_soon_threadsafe(loop.call_later, worker.settings.drain_seconds, then, number, frame)

    signal.signal(signal.SIGTERM, begin)
