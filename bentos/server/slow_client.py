"""Timeout for slow clients: a connection whose request is incomplete for too long is closed with 408."""

from __future__ import annotations

import uuid
import weakref
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from bentos.problem_details import PROBLEM, encode
from bentos.telemetry.metrics import Metrics

STATE_KEY = "slow_client"  # of the ASGI lifespan's state, where the application puts the timeout
_POLLS = 4  # within the timeout, so that a client has at most a quarter more


class Connection(Protocol):
    """What the watch reads of uvicorn's protocol, one connection, and of its subclass in `bentos.server.protocol`."""

    loop: Any
    transport: Any
    cycle: Any
    headers: Any
    timeout_keep_alive_task: Any
    queued: bool
    responses_sent: int


class SlowClientTimeout(NamedTuple):
    """The seconds that a request may take to arrive, head and body, and the metrics that count those that do not."""

    seconds: float
    metrics: Metrics


class SlowClientWatch:
    """Watches one connection for a request that has been incomplete for too long.

    The connection is polled now and then, so a request that arrives in time costs nothing. uvicorn itself closes
    connections that are idle between two requests.
    """

    def __init__(self, protocol: Connection, timeout: SlowClientTimeout) -> None:
        self._protocol = weakref.ref(protocol)
        self._loop = protocol.loop
        self._seconds = timeout.seconds
        self._metrics = timeout.metrics
        self._request: tuple[Any, bool, int] = (None, False, 0)
        self._since: float | None = self._loop.time()

    def poll_later(self) -> None:
        """Schedule the next poll."""
        self._loop.call_later(self._seconds / _POLLS, self._poll)

    def _poll(self) -> None:
        protocol = self._protocol()
        if protocol is None or protocol.transport.is_closing():
            return
        now, cycle = self._loop.time(), protocol.cycle
        request = cycle, cycle is not None and cycle.response_complete, protocol.responses_sent
        if not _is_incomplete(protocol):
            self._since = None
        elif self._since is None or request != self._request:
            self._since = now
        elif now - self._since >= self._seconds:
            self._close(protocol)
            return
        self._request = request
        self.poll_later()

    def _close(self, protocol: Connection) -> None:
        cycle = protocol.cycle
        responding = cycle is not None and cycle.response_started and not cycle.response_complete
        if protocol.headers is None or responding:
            protocol.transport.close()  # no byte was received, or a response has begun
            return
        self._metrics.of(self._metrics.shed, "", "slow").inc()
        refuse(protocol.transport, 408, f"the request was not whole after {self._seconds:g} s.")


def refuse(transport: Any, status: int, detail: str) -> None:
    """Write a response with problem details, and close the connection."""
    body = encode(status, detail, uuid.uuid4().hex)
    head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    transport.write(head % (status, HTTPStatus(status).phrase.encode(), PROBLEM, len(body)) + body)
    transport.close()


def _is_incomplete(protocol: Connection) -> bool:
    """Whether bytes are missing: of a request's body, or of the head of the next request."""
    if protocol.queued:
        return False
    cycle = protocol.cycle
    if cycle is not None and not cycle.response_complete:
        return cycle.more_body
    return protocol.timeout_keep_alive_task is None
