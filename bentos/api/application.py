"""The hot path: our ASGI callable in front of BentoML's own application (docs/decisions/0001).

Predictions are answered here, our other routes by `bentos.api.routes`, and what is left by BentoML, its errors in our
form.
"""

from __future__ import annotations

import time
from typing import Any

from bentos.api.lifespan import lifespan
from bentos.api.routes import JSON, Routes
from bentos.errors import Header
from bentos.executor.deadline import answer_in_thread
from bentos.executor.dispatcher import answer_beside
from bentos.models.output_cache import HEADER, CachedResponse
from bentos.prediction.pipeline import answer_one
from bentos.prediction.types import PredictionCall
from bentos.problem_details import SAFE, Send, problem, translating
from bentos.request import ClientGone, Receive, RequestContext, Scope, read_body, read_head
from bentos.worker import Worker


class Application:
    """An ASGI application: answers what is ours, and lets the rest through to `behind`."""

    def __init__(self, worker: Worker, behind: Any) -> None:
        self._worker = worker
        self._behind = behind
        self._routes = Routes(worker)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = self._worker.predict_paths.get(scope["path"])
            if name is not None and scope["method"] == "POST":
                await self._answer(name, scope, receive, send)
            else:
                await self._route(scope, receive, send)
        elif scope["type"] == "lifespan":
            await lifespan(self._worker, self._behind, scope, receive, send)
        else:
            await self._behind(scope, receive, send)

    async def _answer(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter_ns()
        head = read_head(scope["headers"])
        status, headers = 200, []
        try:
            waits = self._worker.gate.admit(head, "predict", scope)
            if waits is not None:
                await waits
            served = self._worker.served[name]
            live = served.live
            body = await read_body(receive, head, served)
            call = PredictionCall(served, live, head, body, started)
            if served.roles.candidates is not None:
                content = await answer_beside(receive, scope, call)
            elif len(body) <= live.inline_bytes:
                content = answer_one(call)
            else:
                content = await answer_in_thread(receive, call)
            headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(content)), *SAFE]
            if isinstance(content, CachedResponse):
                headers.append((HEADER, content.status))
        except ClientGone:
            return
        except Exception as error:
            status, content, headers = problem(error, head.trace_id)
        self._worker.metrics.request(name, "predict", status, (time.perf_counter_ns() - started) / 1e9)
        await self._send(send, status, headers, content, head)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        head = read_head(scope["headers"])
        usecase, label = self._routes.label(scope["path"])
        try:
            waits = self._worker.gate.admit(head, label, scope)
            if waits is not None:
                await waits
            route = self._routes.find(scope["method"], scope["path"])
            if route is None or route.handler is None:
                status = await self._pass_on(scope, receive, send, head)
            else:
                label = route.name
                reply = await route.handler(head, receive)
                status, content = 200, reply.body
                headers = [
                    (b"content-type", reply.content_type),
                    (b"content-length", b"%d" % len(content)),
                    *reply.headers,
                ]
                await self._send(send, status, headers, content, head)
        except ClientGone:
            return
        except Exception as error:
            status, content, headers = problem(error, head.trace_id)
            await self._send(send, status, headers, content, head)
        self._worker.metrics.request(usecase, label, status, time.perf_counter() - started)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, head: RequestContext) -> int:
        """Let BentoML's application answer; its status."""
        status = 500

        async def noting(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._behind(scope, receive, translating(noting, head.trace_id))
        return status

    async def _send(self, send: Send, status: int, headers: list[Header], content: bytes, head: RequestContext) -> None:
        headers.append((b"x-request-id", head.request_id.encode()))
        headers += head.count.headers if head.count else []
        if self._worker.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
