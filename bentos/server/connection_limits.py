"""Limits of the connections of a worker, so that clients without a credential fill neither memory nor descriptors."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus
from typing import Any, NamedTuple

from bentos.problem_details import PROBLEM, encode
from bentos.telemetry.metrics import Metrics
from slipway.settings import Settings
from slipway.system import descriptors

STATE_KEY = "connection_limits"  # of the ASGI lifespan's state, where the application puts the limits
PEER = "peer"  # of a request's state: the address of the connection, whatever `X-Forwarded-For` says
MOST_HEAD_BYTES = 64 << 10  # of a head or a trailer; the parser copies a long header again with every read
MOST_PIPELINED = 16  # requests under way on one connection: each holds kilobytes, whatever the client reads
IDLE_IN_A_CROWD = 5.0  # seconds: while many connections are open, strangers that are idle hold none for long
_RESERVED = 128  # descriptors for segments of the log, the key file, bundles and clients
_log = logging.getLogger("slipway.serving")


class ConnectionLimits(NamedTuple):
    """The seconds for a request to arrive and for bytes to be read, the number of connections, their metrics, and the
    seconds that a connection may be idle for between two requests."""

    seconds: float
    connections: int
    metrics: Metrics
    idle_seconds: float


def connection_limits(settings: Settings, metrics: Metrics) -> ConnectionLimits:
    """Raise this process's limit of file descriptors, and limit the connections to what leaves some in reserve."""
    before, limit = descriptors.raise_limit()
    reserved = min(_RESERVED, limit // 4)
    connections = min(settings.max_connections, max(1, limit - descriptors.count_open() - reserved))
    if connections < settings.max_connections:
        _log.warning(
            "SLIPWAY_MAX_CONNECTIONS=%d does not fit into %d file descriptors: %d connections are accepted, and %d "
            "descriptors stay in reserve. Raise the hard limit (ulimit -Hn).",
            *(settings.max_connections, limit, connections, reserved),
        )
    _log.info("%d file descriptors (%d before), at most %d connections.", limit, before, connections)
    return ConnectionLimits(settings.max_receive_seconds, connections, metrics, settings.keep_alive_seconds)


def refuse(transport: Any, status: int, detail: str) -> None:
    """Write a response with problem details, and close the connection."""
    body = encode(status, detail, uuid.uuid4().hex)
    head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    transport.write(head % (status, HTTPStatus(status).phrase.encode(), PROBLEM, len(body)) + body)
    transport.close()
