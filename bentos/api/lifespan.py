"""Start and end of a worker, as ASGI's lifespan tells them: models before the first request, the log closed after the
last."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from bentos.fast_path.protocol import answer_directly
from bentos.problem_details import Send
from bentos.request import Receive, Scope
from bentos.server import supervisor
from bentos.server.graceful_shutdown import drain_first
from bentos.worker import Worker
from slipway.errors import SlipwayError


async def lifespan(worker: Worker, behind: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """BentoML's application starts before ours and ends before it."""
    ticking: list[asyncio.Task[None]] = []

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            supervisor.end_with_it()
            try:
                await asyncio.to_thread(worker.start)
            except (SlipwayError, OSError) as error:
                await send({"type": "lifespan.startup.failed", "message": f"Slipway cannot serve: {error}"})
                supervisor.end_it(worker.settings, worker.names)
                return
            # What was loaded stays until the end: a full collection would stop every answer for 0.1 s to look at it.
            gc.freeze()
            drain_first(worker)
            if not worker.settings.cors_origins:  # whose headers are made in front of us
                answer_directly(worker, asyncio.get_running_loop())
            ticking.extend(map(asyncio.create_task, (worker.tick(), worker.watch(), worker.slots.lag.watch())))
        elif message["type"] == "lifespan.shutdown.complete":
            for task in ticking:
                task.cancel()
            await asyncio.to_thread(worker.stop)
        await send(message)

    await behind(scope, receive, sending)
