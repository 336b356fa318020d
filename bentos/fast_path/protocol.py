"""Protocol: uvicorn's HTTP protocol, whose callbacks we put our own in front of (docs/decisions/0006).

A request for a prediction is collected here, without what uvicorn makes of each request, and offered to the turn
(`bentos.fast_path.micro_batch`). What the turn does not take, uvicorn is told of then: nothing has happened to it. A
head that came before (`bentos.fast_path.header_cache`) is not even parsed. tests/bentos/server/test_bentoml_contract.py
watches what this relies on.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from bentos.fast_path.micro_batch import MicroBatch, PendingRequest
from bentos.request import read_head
from bentos.worker import Worker

_POST = b"POST"
_VERSION = "1.1"


def answer_directly(worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
    """Have uvicorn's protocol ask us first."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol

    plain = {function.__name__: _plain(Protocol, function.__name__) for function in _OURS}
    for function in _OURS:
        function.plain = plain[function.__name__]  # type: ignore[attr-defined]
        setattr(Protocol, function.__name__, function)
    Protocol.turn, Protocol.plain = MicroBatch(worker, loop), SimpleNamespace(**plain)
    Protocol.direct = None  # the request that is being collected for the turn
    Protocol.between, Protocol.received = True, b""  # whether the parser is between two messages, and what came then
    Protocol.told_at_rest = 0  # what `told` was when the timer of an idle connection was set


def _plain(protocol: type, name: str) -> Any:
    """uvicorn's own method, also where a worker of this process replaced it before."""
    method = getattr(protocol, name)
    return getattr(method, "plain", method)


def data_received(self: Any, data: bytes) -> None:
    if self.between:
        if _came_before(self, data):
            return
        self.received = data
    self.plain.data_received(self, data)
    self.received = b""
    if self.direct is not None:
        _pass_on(self)  # the rest may be long in coming


def _came_before(self: Any, data: bytes) -> bool:
    """Whether it is one whole request with a head that is known, and is answered by the turn."""
    started, turn, cycle = time.perf_counter_ns(), self.turn, self.cycle
    found = turn.heads.find(data)
    if (
        found is None
        or self.in_turn
        or not (cycle is None or cycle.response_complete)
        or self.flow.write_paused
        or self.transport.is_closing()
    ):
        return False
    (name, head), body = found
    return turn.take(PendingRequest(self, name, started, head.again(), body))


def on_message_begin(self: Any) -> None:
    self.between = False
    self.url, self.headers, self.scope, self.expect_100_continue = b"", [], None, False


def on_headers_complete(self: Any) -> None:
    if self.in_turn:  # this is the next request of a pipeline: the one before it is answered first
        self.turn.answer()
    self._unset_keepalive_if_required()
    started = time.perf_counter_ns()
    name = self.turn.names.get(self.url)
    cycle = self.cycle
    if (
        name is not None
        and (cycle is None or cycle.response_complete)
        and self.parser.get_method() == _POST
        and self.parser.get_http_version() == _VERSION
        and self.parser.should_keep_alive()
        and not (self.expect_100_continue or self.parser.should_upgrade() or self.flow.write_paused)
    ):
        self.direct = PendingRequest(self, name, started)
    else:
        _begin(self)


def _begin(self: Any) -> None:
    """Let uvicorn begin, who makes more of a request than its head."""
    url, headers, expects = self.url, self.headers, self.expect_100_continue
    self.plain.on_message_begin(self)
    self.url, self.expect_100_continue = url, expects
    self.headers += headers
    self.plain.on_headers_complete(self)


def on_body(self: Any, body: bytes) -> None:
    direct = self.direct
    if direct is None:
        self.plain.on_body(self, body)
    else:
        self.head_bytes = 0  # bentos.server.protocol counts what is of no body
        direct.body += body


def on_message_complete(self: Any) -> None:
    self.between, direct = True, self.direct
    if direct is not None:
        direct.head = read_head(self.headers)
        if self.turn.take(direct):
            self.direct, self.head_bytes = None, 0
            self.turn.heads.keep(self.received, direct.name, direct.head, direct.body)
            return
        _pass_on(self)
    self.plain.on_message_complete(self)


def _pass_on(self: Any) -> None:
    """Let uvicorn begin now what it was not told of."""
    direct, self.direct = self.direct, None
    _begin(self)
    if direct.body:
        self.plain.on_body(self, direct.body)


def timeout_keep_alive_handler(self: Any) -> None:
    """Requests whose head is known leave uvicorn's timer alone: where one was answered, the rest begins anew."""
    if self.in_turn or self.told != self.told_at_rest:
        self.told_at_rest = self.told
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
    else:
        self.plain.timeout_keep_alive_handler(self)


def shutdown(self: Any) -> None:
    self.turn.answer()
    self.plain.shutdown(self)


_OURS = (
    data_received,
    on_message_begin,
    on_headers_complete,
    on_body,
    on_message_complete,
    timeout_keep_alive_handler,
    shutdown,
)
