"""What lies below ASGI, where no callable of ours is asked: uvicorn's answer to bytes that are no HTTP, and its
patience with senders, which has no end. tests/bentos/server/test_bentoml_contract.py watches what this relies on.
"""

from __future__ import annotations

import urllib.parse
import uuid
import weakref
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from bentos.problem_details import PROBLEM, encode
from bentos.telemetry.metrics import Metrics

MOST_HEAD_BYTES = 64 << 10  # of a head or a trailer; the parser copies a long header again with every read
_LOOKS = 4  # in the time that a sender has, so that it has at most a quarter more


def speak_problems() -> None:
    """Give uvicorn's answer to bytes that are no HTTP (two lengths, a broken chunk) the form of all other errors.

    So that it has no others: an encoded slash leads to no route, a head or trailer without end is refused with 431,
    and who asks to upgrade to a WebSocket or to HTTP/2, which nobody here speaks, is answered as if it had not asked
    (RFC 9110, section 7.8).
    """
    from uvicorn.protocols.http import httptools_impl

    def send_400_response(self: Any, msg: str) -> None:
        detail = f"{msg.rstrip('.')}: it is not valid HTTP/1.1 (two lengths, a broken chunk or header)."
        _refuse(self.transport, 400, detail)

    protocol = httptools_impl.HttpToolsProtocol
    protocol.send_400_response = send_400_response
    protocol._should_upgrade = lambda self: False
    protocol._unsupported_upgrade_warning = _stay
    _refuse_long_heads(protocol)
    httptools_impl.urllib = SimpleNamespace(parse=SimpleNamespace(unquote=_unquoted))


def _unquoted(path: str) -> str:
    """The path as routes know it; one with an encoded slash, which separates nothing (RFC 3986, section 2.2), as it is.

    >>> _unquoted("/v1/%6dodels"), _unquoted("/v1%2Fmodels")
    ('/v1/models', '/v1%2Fmodels')
    """
    return path if "%2f" in path.lower() else urllib.parse.unquote(path)


def _stay(protocol: Any) -> None:
    """Behind a request to upgrade, the parser knows neither a body nor a further request."""
    protocol.cycle.keep_alive = False
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in protocol.headers):
        protocol.cycle.disconnected = True
        _refuse(protocol.transport, 400, "HTTP/1.1 is spoken here: send a request with a body without `Upgrade`.")


def _refuse_long_heads(protocol: Any) -> None:
    """Heads and trailers: whatever comes that is neither of a body nor the end of a request. Once in a process."""
    if hasattr(protocol, "head_bytes"):
        return
    plain = protocol.data_received

    def data_received(self: Any, data: bytes) -> None:
        self.head_bytes += len(data)
        plain(self, data)
        if self.head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            _refuse(self.transport, 431, f"the request's head or trailer is longer than {MOST_HEAD_BYTES} bytes.")

    protocol.head_bytes = 0
    protocol.data_received = data_received
    protocol.on_body = _beginning_anew(protocol.on_body)
    protocol.on_message_complete = _beginning_anew(protocol.on_message_complete)


def _beginning_anew(plain: Any) -> Any:
    def callback(self: Any, *arguments: bytes) -> None:
        self.head_bytes = 0
        plain(self, *arguments)

    return callback


def cut_off_slow_senders(seconds: float, metrics: Metrics) -> None:
    """Close each connection whose request is not there after `seconds`, head and body; 408 where one was begun.

    The connection is looked at now and then, so a request that comes in time costs nothing. uvicorn itself ends those
    that are idle between two requests.
    """
    from uvicorn.protocols.http import httptools_impl

    protocol = httptools_impl.HttpToolsProtocol
    plain = getattr(protocol.connection_made, "plain", protocol.connection_made)

    def connection_made(self: Any, transport: Any) -> None:
        plain(self, transport)
        Sender(self, seconds, metrics).look_later()

    connection_made.plain = plain  # type: ignore[attr-defined]
    protocol.connection_made = connection_made
    protocol.in_turn, protocol.told = (
        False,
        0,
    )  # what bentos.fast_path.micro_batch has of the connection, and how much it has answered


class Sender:
    """Whoever sends on one connection, and since when the same request has been on its way, if one is."""

    def __init__(self, protocol: Any, seconds: float, metrics: Metrics) -> None:
        self._protocol = weakref.ref(protocol)
        self._loop = protocol.loop
        self._seconds = seconds
        self._metrics = metrics
        self._seen: tuple[Any, bool, int] = (None, False, 0)
        self._since: float | None = self._loop.time()

    def look_later(self) -> None:
        self._loop.call_later(self._seconds / _LOOKS, self._look)

    def _look(self) -> None:
        protocol = self._protocol()
        if protocol is None or protocol.transport.is_closing():
            return
        now, cycle = self._loop.time(), protocol.cycle
        seen = cycle, cycle is not None and cycle.response_complete, protocol.told
        if not _on_its_way(protocol):
            self._since = None
        elif self._since is None or seen != self._seen:
            self._since = now
        elif now - self._since >= self._seconds:
            self._cut_off(protocol)
            return
        self._seen = seen
        self.look_later()

    def _cut_off(self, protocol: Any) -> None:
        cycle = protocol.cycle
        answered = cycle is not None and cycle.response_started and not cycle.response_complete
        if protocol.headers is None or answered:
            protocol.transport.close()  # not a byte has come, or too many have gone
            return
        self._metrics.of(self._metrics.shed, "", "slow").inc()
        _refuse(protocol.transport, 408, f"the request was not whole after {self._seconds:g} s.")


def _on_its_way(protocol: Any) -> bool:
    """Whether bytes are missing: of the body of a request, or of the head of the next one."""
    if protocol.in_turn:
        return False
    cycle = protocol.cycle
    if cycle is not None and not cycle.response_complete:
        return cycle.more_body
    return protocol.timeout_keep_alive_task is None


def _refuse(transport: Any, status: int, detail: str) -> None:
    body = encode(status, detail, uuid.uuid4().hex)
    head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    transport.write(head % (status, HTTPStatus(status).phrase.encode(), PROBLEM, len(body)) + body)
    transport.close()
