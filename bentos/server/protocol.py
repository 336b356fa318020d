"""uvicorn's HTTP protocol, hardened: problem details for invalid HTTP, no upgrades, limits of what a client may hold.

uvicorn answers these below ASGI, where no application is called. tests/bentos/server/test_bentoml_contract.py watches
what this relies on.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bentos.server import upgrade
from bentos.server.connection_limits import (
    IDLE_IN_A_CROWD,
    MOST_HEAD_BYTES,
    MOST_PIPELINED,
    PEER,
    STATE_KEY,
    ConnectionLimits,
    refuse,
)
from bentos.server.slow_client import SlowClientWatch


class _TooManyRequests(Exception):
    """A request above MOST_PIPELINED, raised to stop the parser."""


class HardenedProtocol(HttpToolsProtocol):
    """One connection.

    `head_bytes` are the bytes of the head or trailer that is being received, and `head_complete` tells whether fields
    that follow are a trailer's. `overrun` tells that too many requests were pipelined: no more are read. `answering` is
    the first request without a complete response, where uvicorn's `cycle` is the last of a pipeline. `reread` tells
    that the head just parsed is read again, without its request to upgrade. `queued` tells whether a request waits in a
    micro-batch, and `responses_sent` counts the responses that were written below ASGI: both stay as they are without
    `bentos.fast_path`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        HttpToolsProtocol.__init__(self, config, server_state, app_state, _loop)
        self.head_bytes = 0
        self.head_complete = self.overrun = self.reread = False
        self.answering: RequestResponseCycle | None = None
        self.queued = False
        self.responses_sent = 0
        self._limits: ConnectionLimits = app_state[STATE_KEY]
        self.timeout_keep_alive = min(IDLE_IN_A_CROWD, self._limits.idle_seconds)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch the connection; refuse it where there are too many."""
        HttpToolsProtocol.connection_made(self, transport)
        self.app_state = {**self.app_state, PEER: self.client[0] if self.client else ""}
        SlowClientWatch(self, self._limits).poll_later()
        most, metrics = self._limits.connections, self._limits.metrics
        if len(self.connections) > most:
            metrics.of(metrics.shed, "", "connections").inc()
            refuse(transport, 503, f"{most} connections are open, as many as are accepted (SLIPWAY_MAX_CONNECTIONS).")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, too, not only the last one: it would write to a closed transport."""
        HttpToolsProtocol.connection_lost(self, exc)
        if self.answering is not None:
            self.answering.disconnected = True
            self.answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes; refuse a head or trailer that is too long, which is all that neither belongs to a body nor
        ends a request."""
        if self.overrun:
            return
        self.head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self.head_bytes > MOST_HEAD_BYTES and not (self.overrun or self.transport.is_closing()):
            refuse(self.transport, 431, f"the request's head or trailer is longer than {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        self.head_complete = False
        HttpToolsProtocol.on_message_begin(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field. A trailer field never is one (RFC 9110, section 6.5.1), in whichever read it arrives."""
        if not self.head_complete:
            HttpToolsProtocol.on_header(self, name, value)

    def on_headers_complete(self) -> None:
        """Begin the request. One too many in a pipeline is not answered, nor is what follows it: the connection closes
        with the response to the last one before, and the client may send the rest again (RFC 9112, section 9.3.2)."""
        self.head_complete = True
        self.reread = self.parser.should_upgrade() and upgrade.is_ignorable(self.headers)
        if self.reread:
            return
        if len(self.pipeline) >= MOST_PIPELINED - 1:
            self.overrun, self.cycle.keep_alive = True, False
            raise _TooManyRequests
        HttpToolsProtocol.on_headers_complete(self)
        if not self.pipeline:
            self.answering = self.cycle

    def on_response_complete(self) -> None:
        if self.pipeline:
            self.answering, _ = self.pipeline[-1]
        HttpToolsProtocol.on_response_complete(self)

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        if self.reread:
            return
        self.head_bytes = 0
        HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, such as two lengths or a broken chunk, as every other error is answered."""
        if self.overrun:
            return
        detail = f"{msg.rstrip('.')}: it is not valid HTTP/1.1 (two lengths, a broken chunk or header)."
        refuse(self.transport, 400, detail)

    def timeout_keep_alive_handler(self, idle: float | None = None) -> None:
        """Close a connection without a request after the time for it, or sooner where more than half of them are taken.

        `idle` are the seconds that it has been idle for by now: at first those of uvicorn's timer.
        """
        idle = idle or self.timeout_keep_alive
        left = self._limits.idle_seconds - idle
        if left <= 0 or len(self.connections) > self._limits.connections // 2:
            HttpToolsProtocol.timeout_keep_alive_handler(self)
            return
        pause = min(self.timeout_keep_alive, left)
        self.timeout_keep_alive_task = self.loop.call_later(pause, self.timeout_keep_alive_handler, idle + pause)

    def _should_upgrade(self) -> bool:
        """Speak HTTP/1.1 only: every request to upgrade is ignored (RFC 9110, section 7.8), or its body refused."""
        return False

    def _parse(self, data: bytes) -> None:
        """Feed the parser, as uvicorn does; behind a request to upgrade, where it stops, go on."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._go_on(data[stop.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _go_on(self, rest: bytes) -> None:
        """Read a request to upgrade again without that. Of a WebSocket, or a tunnel, answer the head and close: what
        follows is of another protocol."""
        if self.reread:
            self.reread = False
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self.parser = httptools.HttpRequestParser(self)  # the one that stopped ignores what follows `close`
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._parse(upgrade.head_without_upgrade(method, self.url, version, self.headers) + rest)
            return
        self.cycle.keep_alive = False
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            self.cycle.disconnected = True
            refuse(self.transport, 400, "HTTP/1.1 is spoken here: send a request with a body without `Upgrade`.")
