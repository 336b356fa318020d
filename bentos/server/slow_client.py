"""Timeout for slow clients: a request that does not arrive in time gets 408, an unread response ends the connection."""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from bentos.server.connection_limits import ConnectionLimits, refuse

_POLLS = 4  # within the timeout, so that a client has at most a quarter more
_LEAST_READ = 16 << 10  # bytes within the timeout: a client that reads less keeps memory, and gets nothing done


class Connection(Protocol):
    """What the watch reads of uvicorn's protocol, one connection, and of its subclass in `bentos.server.protocol`."""

    loop: Any
    parser: Any
    transport: Any
    cycle: Any
    headers: Any
    timeout_keep_alive_task: Any
    queued: bool
    responses_sent: int


class SlowClientWatch:
    """Watches one connection for a request that stays incomplete, and for a response that stays unread.

    The connection is polled now and then until it is lost, so a request that arrives in time and a response that is
    read cost nothing. uvicorn itself closes connections that are idle between two requests; one that is closed lasts
    until its last byte was read, or until this watch ends it.
    """

    def __init__(self, protocol: Connection, limits: ConnectionLimits) -> None:
        self._protocol = weakref.ref(protocol)
        self._loop = protocol.loop
        self._seconds = limits.seconds
        self._metrics = limits.metrics
        self._progress: tuple[Any, ...] = ()
        self._incomplete_since: float | None = self._loop.time()
        self._unread, self._unread_since = 0, self._loop.time()

    def poll_later(self) -> None:
        """Schedule the next poll."""
        self._loop.call_later(self._seconds / _POLLS, self._poll)

    def _poll(self) -> None:
        protocol = self._protocol()
        if protocol is None or protocol.parser is None:  # the connection is lost
            return
        now, progress = self._loop.time(), _progress(protocol)
        changed, self._progress = progress != self._progress, progress
        if self._is_unread(protocol.transport.get_write_buffer_size(), changed, now):
            self._count()
            protocol.transport.abort()
            return
        if not protocol.transport.is_closing() and self._is_late(protocol, changed, now):
            self._close(protocol)
        self.poll_later()

    def _is_unread(self, unread: int, changed: bool, now: float) -> bool:
        """Whether the client has read less than _LEAST_READ bytes for too long, although more wait for it."""
        if not unread or changed or unread <= self._unread - _LEAST_READ:
            self._unread, self._unread_since = unread, now
        return now - self._unread_since >= self._seconds

    def _is_late(self, protocol: Connection, changed: bool, now: float) -> bool:
        """Whether the request has been incomplete for too long."""
        if not _is_incomplete(protocol):
            self._incomplete_since = None
        elif self._incomplete_since is None or changed:
            self._incomplete_since = now
        return self._incomplete_since is not None and now - self._incomplete_since >= self._seconds

    def _close(self, protocol: Connection) -> None:
        cycle = protocol.cycle
        responding = cycle is not None and cycle.response_started and not cycle.response_complete
        if protocol.headers is None or responding:
            protocol.transport.close()  # no byte was received, or a response has begun
            return
        self._count()
        refuse(protocol.transport, 408, f"the request was not whole after {self._seconds:g} s.")

    def _count(self) -> None:
        self._metrics.of(self._metrics.shed, "", "slow").inc()


def _progress(protocol: Connection) -> tuple[Any, ...]:
    """Return what changes with each request and with each part of a response."""
    cycle = protocol.cycle
    if cycle is None:
        return None, False, 0, protocol.responses_sent
    return cycle, cycle.response_complete, cycle.expected_content_length, protocol.responses_sent


def _is_incomplete(protocol: Connection) -> bool:
    """Whether bytes are missing: of a request's body, or of the head of the next request."""
    if protocol.queued:
        return False
    cycle = protocol.cycle
    if cycle is not None and not cycle.response_complete:
        return cycle.more_body
    return protocol.timeout_keep_alive_task is None
