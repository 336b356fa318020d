"""One connection of the server's HTTP protocol in this process: bytes in, bytes out, without a socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from bentos.server.connection_limits import STATE_KEY, ConnectionLimits
from bentos.server.protocol import HardenedProtocol
from bentos.telemetry.metrics import metrics


class Transport(asyncio.Transport):
    """A transport whose client reads `readable` bytes, and then no more until that is raised."""

    def __init__(self, readable: int = 1 << 30) -> None:
        super().__init__()
        self.sent = b""
        self.readable = readable
        self.reading = True
        self.closing = self.aborted = False

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return max(0, len(self.sent) - self.readable)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def unconnected(
    app: Any,
    *,
    protocol: Callable[..., HardenedProtocol] = HardenedProtocol,
    seconds: float = 15.0,
    connections: int = 1024,
    server: ServerState | None = None,
    idle: float = 60.0,
    **state: Any,
) -> HardenedProtocol:
    """Make the protocol of a connection to an ASGI application; needs a running event loop."""
    state[STATE_KEY] = ConnectionLimits(seconds, connections, metrics(), idle)
    config = Config(app, log_config=None, proxy_headers=False)
    return protocol(config, server or ServerState(), state, asyncio.get_running_loop())


def connect(app: Any, transport: Transport | None = None, **options: Any) -> HardenedProtocol:
    """Make a connection to an ASGI application; options go to `unconnected`."""
    made = unconnected(app, **options)
    made.connection_made(transport or Transport())
    return made


def sent(protocol: HardenedProtocol) -> bytes:
    """The bytes that the server wrote."""
    return protocol.transport.sent  # type: ignore[attr-defined]


def statuses(protocol: HardenedProtocol) -> list[int]:
    """The statuses of all responses so far."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", sent(protocol))]
