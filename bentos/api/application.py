"""The ASGI application, in front of BentoML's own (docs/decisions/0001).

It answers predictions itself, Slipway's other routes by `bentos.api.routes`, and passes every other path on to
BentoML's application, whose errors become problem details.
"""

from __future__ import annotations

import time
from typing import Any

from bentos.api.lifespan import OnStart, run_lifespan
from bentos.api.routes import Routes
from bentos.errors import Header
from bentos.models.output_cache import HEADER, CachedResponse
from bentos.prediction.types import PredictionCall
from bentos.problem_details import JSON, SAFE, Send, problem, translating
from bentos.request import ClientGone, Receive, RequestContext, Scope, read_body, read_context
from bentos.worker import Worker


class Application:
    """The ASGI application; `behind` is BentoML's. `on_start(worker, state)` is called when the worker has started."""

    def __init__(self, worker: Worker, behind: Any, on_start: OnStart | None = None) -> None:
        self._worker = worker
        self._behind = behind
        self._on_start = on_start
        self._routes = Routes(worker)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _keep_encoded_slashes(scope)
            name = self._worker.predict_paths.get(scope["path"])
            if name is not None and scope["method"] == "POST":
                await self._predict(name, scope, receive, send)
            else:
                await self._route(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(self._worker, self._behind, self._on_start, scope, receive, send)
        else:
            await self._behind(scope, receive, send)

    async def _predict(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter_ns()
        context = read_context(scope["headers"])
        status, headers = 200, []
        try:
            pending = self._worker.authenticator.admit(context, "predict", scope)
            if pending is not None:
                await pending
            served = self._worker.served[name]
            live = served.live
            body = await read_body(receive, context, self._worker.settings.max_body_bytes, served.body_budget)
            call = PredictionCall(served.context, live, context, body, started)
            content = await served.dispatcher.run(receive, scope, call)
            headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(content)), *SAFE]
            if isinstance(content, CachedResponse):
                headers.append((HEADER, content.said))
        except ClientGone:
            return
        except Exception as error:
            status, content, headers = problem(error, context.trace_id)
        self._worker.metrics.request(name, "predict", status, (time.perf_counter_ns() - started) / 1e9)
        await self._send(send, status, headers, content, context)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        context = read_context(scope["headers"])
        usecase, label = self._routes.label(scope["path"])
        try:
            pending = self._worker.authenticator.admit(context, label, scope)
            if pending is not None:
                await pending
            route = self._routes.find(scope["method"], scope["path"])
            if route is None or route.handler is None:
                status = await self._pass_on(scope, receive, send, context)
            else:
                label = route.name
                response = await route.handler(context, receive)
                status, content = 200, response.body
                headers = [
                    (b"content-type", response.content_type),
                    (b"content-length", b"%d" % len(content)),
                    *response.headers,
                ]
                await self._send(send, status, headers, content, context)
        except ClientGone:
            return
        except Exception as error:
            status, content, headers = problem(error, context.trace_id)
            await self._send(send, status, headers, content, context)
        self._worker.metrics.request(usecase, label, status, time.perf_counter() - started)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> int:
        """Let BentoML's application answer, and return the status of its response."""
        status = 500

        async def note_status(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._behind(scope, receive, translating(note_status, context.trace_id))
        return status

    async def _send(
        self, send: Send, status: int, headers: list[Header], content: bytes, context: RequestContext
    ) -> None:
        headers.append((b"x-request-id", context.request_id.encode()))
        headers += _header_pairs(context.rate_limit_headers)
        if self._worker.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _keep_encoded_slashes(scope: Scope) -> None:
    """Route a path with an encoded slash, which separates nothing (RFC 3986, section 2.2), as it was sent."""
    raw_path: bytes = scope.get("raw_path", b"")
    if b"%2f" in raw_path.lower():
        scope["path"] = raw_path.decode("ascii")


def _header_pairs(lines: bytes) -> list[Header]:
    pairs = (line.partition(b": ") for line in lines.splitlines())
    return [(name, value) for name, _, value in pairs]
