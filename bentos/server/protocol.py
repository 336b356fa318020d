"""uvicorn's HTTP protocol, hardened: problem details for invalid HTTP, no upgrades, limits of what a client may hold.

uvicorn answers these below ASGI, where no application is called. tests/bentos/server/test_bentoml_contract.py watches
what this relies on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bentos.server.connection_limits import MOST_HEAD_BYTES, MOST_PIPELINED, STATE_KEY, ConnectionLimits, refuse
from bentos.server.slow_client import SlowClientWatch


class _TooManyRequests(Exception):
    """A request above MOST_PIPELINED, raised to stop the parser."""


class HardenedProtocol(HttpToolsProtocol):
    """One connection.

    `head_bytes` are the bytes of the head or trailer that is being received, and `head_complete` tells whether fields
    that follow are a trailer's. `overrun` tells that too many requests were pipelined: no more are read. `answering` is
    the first request without a complete response, where uvicorn's `cycle` is the last of a pipeline. `queued` tells
    whether a request waits in a micro-batch, and `responses_sent` counts the responses that were written below ASGI:
    both stay as they are without `bentos.fast_path`.
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
        self.head_complete = self.overrun = False
        self.answering: RequestResponseCycle | None = None
        self.queued = False
        self.responses_sent = 0
        self._limits: ConnectionLimits = app_state[STATE_KEY]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch the connection; refuse it where there are too many."""
        HttpToolsProtocol.connection_made(self, transport)
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
        HttpToolsProtocol.data_received(self, data)
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
        self.head_bytes = 0
        HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, such as two lengths or a broken chunk, as every other error is answered."""
        if self.overrun:
            return
        detail = f"{msg.rstrip('.')}: it is not valid HTTP/1.1 (two lengths, a broken chunk or header)."
        refuse(self.transport, 400, detail)

    def _should_upgrade(self) -> bool:
        """Ignore a request to upgrade to a WebSocket or to HTTP/2 (RFC 9110, section 7.8): neither is supported."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Close the connection after the response: behind a request to upgrade, the parser stops."""
        self.cycle.keep_alive = False
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            self.cycle.disconnected = True
            refuse(self.transport, 400, "HTTP/1.1 is spoken here: send a request with a body without `Upgrade`.")
