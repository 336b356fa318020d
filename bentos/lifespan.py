"""Start and end of a worker, as ASGI's lifespan tells them: models before the first request, the log closed after the
last."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from bentos.errors import Send
from bentos.request import Receive, Scope
from bentos.worker import Worker
from slipway import pointer
from slipway.errors import SlipwayError


async def lifespan(worker: Worker, behind: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """BentoML's application starts first and ends first; ours last, so that its failure is the worker's."""
    ticking: list[asyncio.Task[None]] = []

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            try:
                await asyncio.to_thread(worker.start)
                ticking.append(asyncio.create_task(worker.tick()))
            except SlipwayError as error:
                await send({"type": "lifespan.startup.failed", "message": f"Slipway cannot serve: {error}"})
                _end_the_server(worker)
                return
        elif message["type"] == "lifespan.shutdown.complete":
            for task in ticking:
                task.cancel()
            await asyncio.to_thread(worker.stop)
        await send(message)

    await behind(scope, receive, sending)


def _end_the_server(worker: Worker) -> None:
    """BentoML's supervisor would start a worker that cannot start again and again, its port open all the while.

    Where no other worker serves, there is nothing to keep it for.
    """
    from bentoml._internal.context import server_context

    settings = worker.settings
    others = [state for name in worker.names for state in pointer.read_states(settings.serving, name)]
    alone = not any(state.serving and state.pid != os.getpid() for state in others)
    if server_context.worker_index is not None and alone:
        os.kill(os.getppid(), signal.SIGTERM)
