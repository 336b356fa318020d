"""The ASGI application, in front of BentoML's own (docs/decisions/0001).

It answers predictions itself, Slipway's other routes by `bentos.api.routes`, and passes every other path on to
BentoML's application, whose errors become problem details.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import Router

from bentos.api.lifespan import OnStart, run_lifespan
from bentos.api.routes import CONTEXT, Routes
from bentos.errors import Header, MethodNotAllowed, NotReady, Unavailable
from bentos.models.output_cache import HEADER, CachedResponse
from bentos.prediction import pipeline
from bentos.prediction.types import PredictionCall
from bentos.problem_details import JSON, SAFE, Send, problem, translating
from bentos.request import ClientGone, Receive, RequestContext, Scope, read_body, read_context
from bentos.worker import ServedModel, Worker
from slipway.errors import InputError
from slipway.trace_context import enter_trace


class Application:
    """The ASGI application; `behind` is BentoML's. `on_start(worker, state)` is called when the worker has started."""

    def __init__(self, worker: Worker, behind: Any, on_start: OnStart | None = None) -> None:
        self._worker = worker
        self._behind = behind
        self._on_start = on_start
        self._route_usecases()
        worker.on_addition.append(self._route_usecases)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _keep_encoded(scope)
            name = self._worker.predict_paths.get(scope["path"])
            if name is not None and scope["method"] == "POST":
                await self._predict(name, scope, receive, send)
            else:
                await self._route(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(self._worker, self._behind, self._on_start, scope, receive, send)
        else:
            await self._behind(scope, receive, send)

    def _route_usecases(self) -> None:
        self._routes = Routes(self._worker)
        self._router = Router(self._routes.routes, redirect_slashes=False, default=self._pass_on)

    async def _predict(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter_ns()
        context = read_context(scope["headers"])
        enter_trace(context.trace_id)  # uvicorn gives each request a task of its own
        status, headers = 200, []
        try:
            pending = self._worker.authenticator.admit(context, "predict", scope, name)
            if pending is not None:
                await pending
            served = self._worker.served[name]
            live = served.live
            body = await read_body(receive, context, served.body_limit(live), served.body_budget)
            call = PredictionCall(served.context, live, context, body, started)
            if self._worker.authenticator.limits_rows(context):
                await self._charge_rows(served, call, scope)
            content = await served.dispatcher.run(receive, scope, call)
            headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(content)), *SAFE]
            if isinstance(content, CachedResponse):
                headers.append((HEADER, content.status))
        except ClientGone:
            return
        except Exception as error:
            status, content, headers = problem(await self._explain(error, context), context.trace_id)
        self._worker.metrics.request(name, "predict", status, (time.perf_counter_ns() - started) / 1e9)
        await self._send(send, status, headers, content, context)

    async def _charge_rows(self, served: ServedModel, call: PredictionCall, scope: Scope) -> None:
        """Charge the client for the rows, in whatever role they are predicted, and once.

        The body is parsed for it, and again where it is predicted; unless that is short, in a thread, as part of what
        may wait, and not for a request that admission control would refuse: in a flood, that must cost little.
        """
        if call.live.runs_inline(call.body):
            rows = pipeline.count_rows(call)
        else:
            rows = await self._count_in_thread(served, call)
        await self._worker.authenticator.charge_rows(call.request, scope, rows, "instances")

    async def _count_in_thread(self, served: ServedModel, call: PredictionCall) -> int:
        size, admission = len(call.body), self._worker.admission
        reason = admission.refusal_reason(served.name, size, call.live.deadline)
        if reason is not None:
            raise admission.shed(served.name, reason)
        served.body_budget.reserve(size)
        try:
            return await asyncio.to_thread(pipeline.count_rows, call)
        finally:
            served.body_budget.release(size)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        context = read_context(scope["headers"])
        enter_trace(context.trace_id)  # uvicorn gives each request a task of its own
        scope["path"] = self._routes.prefix.strip(scope["path"])
        usecase, label = self._routes.labels(scope["path"])
        scope[CONTEXT], scope["app"] = context, self  # with an `app`, Starlette's routes raise their errors
        status = 500

        async def add_headers(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers(context)]
            await send(message)

        try:
            pending = self._worker.authenticator.admit(context, label, scope, self._routes.named_usecase(scope["path"]))
            if pending is not None:
                await pending
            await self._router(scope, receive, add_headers)
        except ClientGone:
            return
        except Exception as error:
            error = await self._explain(_translate(error, scope["method"]), context)
            status, content, headers = problem(error, context.trace_id)
            await self._send(send, status, headers, content, context)
        self._worker.metrics.request(usecase, label, status, time.perf_counter() - started)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML's application answer a path that no route of ours has."""
        context = scope[CONTEXT]
        self._routes.require_unreserved(scope["path"], self._worker.visible(context))
        await self._behind(scope, receive, translating(send, context.trace_id))

    async def _explain(self, error: Exception, context: RequestContext) -> Exception:
        """Tell an operator why there is no model yet; everybody else learns only that there is none."""
        if isinstance(error, NotReady) and await self._worker.authenticator.may_see_details(context):
            return Unavailable(error.why, error.retry_after)
        return error

    def _headers(self, context: RequestContext) -> list[Header]:
        """Return the headers that every response has."""
        ids = (b"x-request-id", context.request_id.encode()), (b"x-trace-id", context.trace_id.encode())
        headers = [*ids, *_header_pairs(context.rate_limit_headers)]
        return [*headers, (b"connection", b"close")] if self._worker.draining else headers

    async def _send(
        self, send: Send, status: int, headers: list[Header], content: bytes, context: RequestContext
    ) -> None:
        headers += self._headers(context)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _keep_encoded(scope: Scope) -> None:
    """Route a path with an encoded slash, which separates nothing (RFC 3986, section 2.2), as it was sent.

    The same holds for an encoded line end, which a regular expression of a route takes for the end of the path.
    """
    raw_path: bytes = scope.get("raw_path", b"")
    if b"%2f" in raw_path.lower() or b"%0a" in raw_path.lower():
        scope["path"] = raw_path.decode("ascii")


def _translate(error: Exception, method: str) -> Exception:
    """Translate the errors of Starlette's routes to ours."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        allowed = set((error.headers or {})["Allow"].split(", ")) - {"HEAD"}
        return MethodNotAllowed(method, ", ".join(sorted(allowed)))
    return InputError("There is nothing at this path; /docs lists what there is.", status=error.status_code)


def _header_pairs(lines: bytes) -> list[Header]:
    pairs = (line.partition(b": ") for line in lines.splitlines())
    return [(name, value) for name, _, value in pairs]
