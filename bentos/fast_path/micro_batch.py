"""Micro-batch: the predictions that arrive in one iteration of the event loop, answered together and below ASGI.

uvicorn makes a task, a cycle and two messages of each request, which cost more than the prediction
(docs/decisions/0006). Here a complete request with a known key, for a model that answers at once, waits for the end of
the iteration: the requests of one iteration are one run of the network, one write to the log, and one write to each
socket. Every other request takes the ASGI path, through `bentos.api.application`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from http import HTTPStatus
from typing import Any

from bentos.errors import Header
from bentos.fast_path.header_cache import HeaderCache
from bentos.models.output_cache import HEADER, CachedResponse
from bentos.prediction import pipeline
from bentos.prediction.types import Outcome, PredictionCall
from bentos.problem_details import JSON, SAFE, problem
from bentos.request import RequestContext
from bentos.worker import ServedModel, Worker

STATE_KEY = "micro_batch"  # of the ASGI lifespan's state, where bentos.service puts the worker's micro-batch
IDLE_NS = 20_000  # after an iteration with one request and as long a pause, the next one will hardly have a second
MAX_REQUESTS = 32  # so that the first does not wait long for the last
MAX_BYTES = 16 << 10  # of bodies: a larger batch saves little, and pushes out the processor's cache


class PendingRequest:
    """A request whose response is due at the end of the iteration."""

    __slots__ = ("body", "call", "context", "protocol", "served", "started", "usecase")

    def __init__(
        self, protocol: Any, usecase: str, started: int, context: RequestContext | None = None, body: bytes = b""
    ) -> None:
        self.protocol = protocol
        self.usecase = usecase
        self.started = started
        self.context = context
        self.body = body
        self.call: PredictionCall
        self.served: ServedModel


class MicroBatch:
    """The requests that arrived since the event loop began its iteration.

    `usecases` are the use cases by the bytes of their path; `headers` caches the headers of requests that were taken.
    """

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        self.usecases: dict[bytes, str]
        self.headers: HeaderCache
        self._pending: list[PendingRequest] = []
        self._bytes = 0
        self._last_size = self._last_end = 0
        self._worker = worker
        self._loop = loop
        self._learn_paths()
        worker.on_addition.append(self._learn_paths)

    def enqueue(self, request: PendingRequest) -> bool:
        """Try to enqueue the request for the current micro-batch.

        Returns False, without side effects, if it must take the ASGI path. A request for the worker pool must, unless
        admission control refuses it: in a flood, refusals must cost next to nothing.
        """
        worker, context = self._worker, request.context
        served = worker.served[request.usecase]
        live = served.manager.live
        if live is None or worker.draining or served.dispatcher.has_canary:
            return False
        size, refusal = len(request.body), None
        if not live.runs_inline(request.body):
            refusal = worker.admission.refusal_reason(request.usecase, size, live.deadline)
            if refusal is None:
                return False
        if context.encoding or not worker.authenticator.admit_at_once(context, "predict", request.usecase):
            return False
        request.served = served
        request.call = PredictionCall(served.context, live, context, request.body, request.started)
        if refusal is not None:
            self._send(request, worker.admission.shed(request.usecase, refusal))
            return True
        request.protocol.queued = True
        self._pending.append(request)
        self._bytes += size
        full = len(self._pending) == MAX_REQUESTS or self._bytes >= MAX_BYTES
        if full or (self._last_size == 1 and request.started - self._last_end > IDLE_NS):
            self.run()
        elif len(self._pending) == 1:
            self._loop.call_soon(self.run)
        return True

    def _learn_paths(self) -> None:
        """Take the worker's paths of predictions; the headers that are cached may be of one that it no longer has."""
        self.usecases = {path.encode(): usecase for path, usecase in self._worker.predict_paths.items()}
        self.headers = HeaderCache()

    def run(self) -> None:
        """Answer the pending requests, all requests for one model together."""
        if not self._pending:
            return
        pending, self._pending, self._bytes = self._pending, [], 0
        by_model: dict[int, list[PendingRequest]] = defaultdict(list)
        for request in pending:
            by_model[id(request.call.live)].append(request)
        for requests in by_model.values():
            self._run_model(requests)
        self._last_size, self._last_end = len(pending), time.perf_counter_ns()

    def _run_model(self, requests: list[PendingRequest]) -> None:
        try:
            outcomes = pipeline.run([request.call for request in requests])
        except Exception as error:
            outcomes = [error for _ in requests]
        for request, outcome in zip(requests, outcomes, strict=True):
            self._send(request, outcome)
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, bytes):
                request.served.dispatcher.copy_to_shadow(request.call)

    def _send(self, request: PendingRequest, outcome: Outcome) -> None:
        context, protocol = request.call.request, request.protocol
        protocol.queued = False
        protocol.responses_sent += 1
        if isinstance(outcome, Exception):
            status, content, headers = problem(outcome, context.trace_id)
            head = _head(status, [header for header in headers if header[0] != b"content-length"])
        else:
            status, content, head = 200, outcome, _OK
            if isinstance(content, CachedResponse):
                head += _line((HEADER, content.status))
        seconds = (time.perf_counter_ns() - request.started) / 1e9
        self._worker.metrics.request(request.usecase, "predict", status, seconds)
        if protocol.transport.is_closing():
            return
        state = protocol.server_state
        defaults = state.default_headers
        protocol.transport.write(
            b"%b%b%bcontent-length: %d\r\nx-request-id: %b\r\nx-trace-id: %b\r\n\r\n%b"
            % (
                head,
                context.rate_limit_headers,
                b"".join(map(_line, defaults)) if defaults else b"",
                len(content),
                context.request_id.encode(),
                context.trace_id.encode(),
                content,
            )
        )
        if protocol.timeout_keep_alive_task is None:
            protocol.on_response_complete()
            protocol.responses_at_idle = protocol.responses_sent
        else:
            state.total_requests += 1  # the keep-alive timer of the pause before goes on: nothing else is left to do


def _line(header: Header) -> bytes:
    return b"%b: %b\r\n" % header


def _head(status: int, headers: list[Header]) -> bytes:
    line = b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
    return line + b"".join(map(_line, headers))


_OK = _head(200, [(b"content-type", JSON), *SAFE])
