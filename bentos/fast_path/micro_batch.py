"""Direct: the predictions that the event loop answers by itself, below ASGI, those of one of its turns together.

uvicorn makes a task, a cycle and two messages of each request, which cost more than the request (docs/decisions/0006).
Here a whole request with a key that is known, for a model that answers at once, waits for the end of the loop's turn;
what came in the same turn is one run of the network, one write to the log, and one write to each socket. Whatever is
not that simple goes the way of all others: through `bentos.api.application`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from http import HTTPStatus
from typing import Any

from bentos.api.routes import JSON
from bentos.errors import Header
from bentos.executor.dispatcher import copy_to_shadow
from bentos.fast_path.header_cache import HeaderCache
from bentos.models.output_cache import HEADER, CachedResponse
from bentos.prediction.pipeline import answer
from bentos.prediction.types import PredictionCall
from bentos.problem_details import SAFE, problem
from bentos.request import RequestContext
from bentos.worker import Worker

IDLE_NS = 20_000  # after a turn of one request, and as long a rest, there will hardly be company for the next
MOST_TOGETHER = 32  # so that the first of them does not wait long for the last
MOST_BYTES = 16 << 10  # of their bodies: beyond, what they share is little beside what pushes out the processor's cache


class PendingRequest:
    """A request whose answer is due at the end of the turn."""

    __slots__ = ("body", "call", "head", "name", "protocol", "started")

    def __init__(
        self, protocol: Any, name: str, started: int, head: RequestContext | None = None, body: bytes = b""
    ) -> None:
        self.protocol = protocol
        self.name = name
        self.started = started
        self.head = head
        self.body = body
        self.call: PredictionCall


class MicroBatch:
    """What came since the event loop began its turn.

    `names` are the use cases by the bytes of their path; `heads` are those of requests that were taken.
    """

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        self.names = {path.encode(): name for path, name in worker.predict_paths.items()}
        self.heads = HeaderCache()
        self._waiting: list[PendingRequest] = []
        self._bytes = 0
        self._last = self._ended = 0
        self._worker = worker
        self._loop = loop

    def take(self, one: PendingRequest) -> bool:
        """Whether the request is answered here: nothing has happened where it is not.

        What is for a thread is not, unless there is no slot for it: in a flood, refusals must cost next to nothing.
        """
        worker, head = self._worker, one.head
        served = worker.served[one.name]
        live = served.holder.live
        beside = served.roles.candidates
        if live is None or worker.draining or (beside and beside.canary):
            return False
        size, refusal = len(one.body), None
        if size > live.inline_bytes:
            refusal = worker.slots.refusal(one.name, size, live.deadline)
            if refusal is None:
                return False
        if head.encoding or not worker.gate.admit_at_once(head, "predict"):
            return False
        one.call = PredictionCall(served, live, head, one.body, one.started)
        if refusal is not None:
            self._send(one, worker.slots.shed(one.name, refusal))
            return True
        one.protocol.in_turn = True
        self._waiting.append(one)
        self._bytes += size
        full = len(self._waiting) == MOST_TOGETHER or self._bytes >= MOST_BYTES
        if full or (self._last == 1 and one.started - self._ended > IDLE_NS):
            self.answer()
        elif len(self._waiting) == 1:
            self._loop.call_soon(self.answer)
        return True

    def answer(self) -> None:
        """Answer what waits: one model after the other, each all that it was asked."""
        if not self._waiting:
            return
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        by_model: dict[int, list[PendingRequest]] = defaultdict(list)
        for one in waiting:
            by_model[id(one.call.live)].append(one)
        for some in by_model.values():
            self._answer(some)
        self._last, self._ended = len(waiting), time.perf_counter_ns()

    def _answer(self, some: list[PendingRequest]) -> None:
        try:
            outcomes = answer([one.call for one in some])
        except Exception as error:
            outcomes = [error for _ in some]
        for one, outcome in zip(some, outcomes, strict=True):
            self._send(one, outcome)
        for one, outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, bytes):
                copy_to_shadow(one.call)

    def _send(self, one: PendingRequest, outcome: bytes | Exception) -> None:
        head, protocol = one.call.head, one.protocol
        protocol.in_turn = False
        protocol.told += 1  # for bentos.server.protocol: this is another request than the last
        if isinstance(outcome, Exception):
            status, content, headers = problem(outcome, head.trace_id)
            begin = _begin(status, [h for h in headers if h[0] != b"content-length"])
        else:
            status, content, begin = 200, outcome, _OK
            if isinstance(content, CachedResponse):
                begin += _line((HEADER, content.status))
        self._worker.metrics.request(one.name, "predict", status, (time.perf_counter_ns() - one.started) / 1e9)
        if protocol.transport.is_closing():
            return
        state = protocol.server_state
        uvicorns = state.default_headers
        protocol.transport.write(
            b"%b%b%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b"
            % (
                begin,
                head.count.lines if head.count else b"",
                b"".join(map(_line, uvicorns)) if uvicorns else b"",
                len(content),
                head.request_id.encode(),
                content,
            )
        )
        if protocol.timeout_keep_alive_task is None:
            protocol.on_response_complete()
            protocol.told_at_rest = protocol.told
        else:
            state.total_requests += 1  # all that is left to do where the timer of the rest before goes on


def _line(header: Header) -> bytes:
    return b"%b: %b\r\n" % header


def _begin(status: int, headers: list[Header]) -> bytes:
    line = b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
    return line + b"".join(map(_line, headers))


_OK = _begin(200, [(b"content-type", JSON), *SAFE])
