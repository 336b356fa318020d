"""Deadline of a whole exchange over HTTP: httpx limits each wait for bytes, so a byte a second would never end.

The deadline travels with the time-outs of a request, down to the sockets of its connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

_PIECE = 16 << 10


class Deadline:
    """The end of an exchange, `seconds` from now.

    With `bytes_per_second` it is put off by what arrives: a download may take long, but not be slower than that.
    """

    def __init__(self, seconds: float, bytes_per_second: float | None = None) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._rate = bytes_per_second

    def timeouts(self, wait_seconds: float) -> dict[str, float]:
        """Make the time-outs of a request, as its extension `timeout`; each wait is limited to `wait_seconds`."""
        return dict.fromkeys(("connect", "read", "write", "pool"), _Wait(wait_seconds, self))

    def seconds_left(self) -> float:
        return self._end - time.monotonic()

    def note(self, received: int) -> None:
        """Count bytes that arrived."""
        if self._rate is not None:
            self._end += received / self._rate

    def explain(self) -> str:
        if self._rate is not None:
            return f"timed out: fewer than {self._rate:.0f} bytes a second arrived"
        return f"timed out: it was not complete after {self._seconds:g} s"


class _Wait(float):
    """A time-out for one wait, in seconds, that knows the deadline of its exchange."""

    deadline: Deadline

    def __new__(cls, seconds: float, deadline: Deadline) -> _Wait:
        wait = super().__new__(cls, seconds)
        wait.deadline = deadline
        return wait


class DeadlineTransport(httpx.HTTPTransport):
    """A transport whose sockets heed the deadline of the request that uses them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pool._network_backend = _Backend()  # httpx passes none on to httpcore, whose parameter it is


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        if isinstance(timeout, _Wait):
            timeout.deadline.note(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):  # a peer that takes a byte a second is looked at between pieces
            self._stream.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """Return the seconds of the next wait. Raises the error if the deadline has passed."""
    if not isinstance(timeout, _Wait):
        return timeout
    left = timeout.deadline.seconds_left()
    if left <= 0:
        raise error(timeout.deadline.explain())
    return min(float(timeout), left)
