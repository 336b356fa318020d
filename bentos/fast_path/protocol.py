"""Fast-path protocol: collects prediction requests below ASGI for the micro-batch (docs/decisions/0006).

A request for a prediction is collected without the objects that uvicorn makes of each request. If the micro-batch does
not take it, uvicorn handles it from there: nothing has happened to it. Headers that are cached
(`bentos.fast_path.header_cache`) are not even parsed. tests/bentos/server/test_bentoml_contract.py watches what this
relies on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bentos.fast_path.micro_batch import STATE_KEY, MicroBatch, PendingRequest
from bentos.request import read_context
from bentos.server.protocol import HardenedProtocol

_POST = b"POST"
_VERSION = "1.1"


class FastPathProtocol(HardenedProtocol):
    """One connection. The superclasses are called by name, which is faster than `super()`.

    `pending` is the request that is being collected for the micro-batch. `between_messages` tells whether the parser is
    between two messages, and `received` holds the bytes that arrived there. `responses_at_idle` is what
    `responses_sent` was when the keep-alive timer was set.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        HardenedProtocol.__init__(self, config, server_state, app_state, _loop)
        self.micro_batch: MicroBatch = app_state[STATE_KEY]
        self.pending: PendingRequest | None = None
        self.between_messages, self.received = True, b""
        self.responses_at_idle = 0

    def data_received(self, data: bytes) -> None:
        """Answer a complete request with cached headers; let httptools parse everything else."""
        if self.between_messages:
            if self._enqueue_cached(data):
                return
            self.received = data
        HardenedProtocol.data_received(self, data)
        self.received = b""
        if self.pending is not None:
            self._hand_over()  # the rest may take long to arrive

    def _enqueue_cached(self, data: bytes) -> bool:
        """Try to enqueue a complete request whose headers are cached."""
        started, micro_batch, cycle = time.perf_counter_ns(), self.micro_batch, self.cycle
        found = micro_batch.headers.find(data)
        if (
            found is None
            or self.queued
            or not (cycle is None or cycle.response_complete)
            or self.flow.write_paused
            or self.transport.is_closing()
        ):
            return False
        (usecase, context), body = found
        return micro_batch.enqueue(PendingRequest(self, usecase, started, context.renew(), body))

    def on_message_begin(self) -> None:
        """Prepare for a head, without the scope that uvicorn makes: `_begin` makes up for it."""
        self.between_messages = self.head_complete = False
        self.url, self.headers, self.scope, self.expect_100_continue = b"", [], None, False  # type: ignore[assignment]

    def on_headers_complete(self) -> None:
        """Decide whether the request is collected for the micro-batch, or handed over to uvicorn."""
        self.head_complete = True
        if self.queued:  # this is the next request of a pipeline: the one before it is answered first
            self.micro_batch.run()
        self._unset_keepalive_if_required()
        started = time.perf_counter_ns()
        usecase = self.micro_batch.usecases.get(self.url)
        cycle = self.cycle
        if (
            usecase is not None
            and (cycle is None or cycle.response_complete)
            and self.parser.get_method() == _POST
            and self.parser.get_http_version() == _VERSION
            and self.parser.should_keep_alive()
            and not (self.expect_100_continue or self.parser.should_upgrade() or self.flow.write_paused)
        ):
            self.pending = PendingRequest(self, usecase, started)
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        pending = self.pending
        if pending is None:
            HardenedProtocol.on_body(self, body)
        else:
            self.head_bytes = 0
            pending.body += body

    def on_message_complete(self) -> None:
        self.between_messages, pending = True, self.pending
        if pending is not None:
            pending.context = read_context(self.headers)
            if self.micro_batch.enqueue(pending):
                self.pending, self.head_bytes = None, 0
                self.micro_batch.headers.keep(self.received, pending.usecase, pending.context, pending.body)
                return
            self._hand_over()
        HardenedProtocol.on_message_complete(self)

    def timeout_keep_alive_handler(self, idle: float | None = None) -> None:
        """Close a connection that is idle for too long, or wait again if the micro-batch answered it meanwhile.

        Requests with cached headers leave uvicorn's timer alone.
        """
        if self.queued or self.responses_sent != self.responses_at_idle:
            self.responses_at_idle = self.responses_sent
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            HardenedProtocol.timeout_keep_alive_handler(self, idle)

    def shutdown(self) -> None:
        self.micro_batch.run()
        HttpToolsProtocol.shutdown(self)

    def _begin(self) -> None:
        """Let uvicorn begin the request whose head was parsed."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        HardenedProtocol.on_headers_complete(self)

    def _hand_over(self) -> None:
        """Hand the collected request over to uvicorn."""
        pending, self.pending = self.pending, None
        assert pending is not None
        self._begin()
        self.cycle.keep_alive = True  # as the head says: by now, the parser goes by a trailer's `Connection`, too
        if pending.body:
            HardenedProtocol.on_body(self, pending.body)
