"""ASGI lifespan of a worker: models are loaded before the first request, and logs closed after the last."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from bentos.problem_details import Send
from bentos.request import Receive, Scope
from bentos.server import supervisor
from bentos.server.graceful_shutdown import drain_before_shutdown
from bentos.worker import Worker
from slipway.errors import SlipwayError

OnStart = Callable[[Worker, dict[str, Any]], None]


async def run_lifespan(
    worker: Worker, behind: Any, on_start: OnStart | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Start and stop the worker; BentoML's application starts before it and stops before it.

    `on_start(worker, state)` is called on the event loop before the first connection, with the state that the ASGI
    server hands to its protocols.
    """
    tasks: list[asyncio.Task[None]] = []

    async def intercept(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            supervisor.stop_with_supervisor()
            try:
                await asyncio.to_thread(worker.start)
            except (SlipwayError, OSError) as error:
                await send({"type": "lifespan.startup.failed", "message": f"Slipway cannot serve: {error}"})
                supervisor.stop_supervisor(worker.settings, worker.names)
                return
            # What is loaded stays until the end: a full collection would block every response for 0.1 s to scan it.
            gc.freeze()
            drain_before_shutdown(worker.settings.drain_seconds, worker.start_draining)
            if on_start is not None:
                on_start(worker, scope.setdefault("state", {}))
            tasks.extend(map(asyncio.create_task, (worker.tick(), worker.watch(), worker.admission.lag.watch())))
        elif message["type"] == "lifespan.shutdown.complete":
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(worker.stop)
        await send(message)

    await behind(scope, receive, intercept)
