"""Client: one connection to the deployment, which is kept; every request has ids of its own."""

from __future__ import annotations

import http.client
import ipaddress
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from slipway.errors import ServiceError

T = TypeVar("T")
PROBLEM = "application/problem+json"
REQUEST_SECONDS = 10.0
_MOST_BYTES = 64 << 20
_SHOWN = 300  # characters of what a server said, in a reason


class Problem(msgspec.Struct):
    """An error's body (RFC 9457)."""

    status: int
    detail: str
    trace_id: str
    place: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came back; `asked` is the method and path, the ids are those that were sent."""

    asked: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float
    trace_id: str
    request_id: str

    @property
    def said(self) -> str:
        """Status and reason, in the server's own words where it has some."""
        try:
            detail = msgspec.json.decode(self.body, type=Problem).detail
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            detail = http.client.responses.get(self.status, "")
        return f"{self.status} {detail[:_SHOWN]}".strip()

    def read(self, kind: type[T]) -> T:
        """The body of a 200 as that type. Raises ServiceError where it is anything else."""
        if self.status != 200:
            raise ServiceError(f"{self.asked} answers {self.said}")
        return self._decoded(kind)

    def problem(self, status: int) -> Problem:
        """The body of an error of that status. Raises ServiceError where it is anything else."""
        if self.status != status:
            raise ServiceError(f"{self.asked} answers {self.said}; {status} was due.")
        if self.headers.get_content_type() != PROBLEM:
            raise ServiceError(f"{self.asked} answers {status} as {self.headers.get_content_type()}, not as {PROBLEM}.")
        return self._decoded(Problem)

    def _decoded(self, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ServiceError(
                f"{self.asked} is not answered as by Slipway ({error}): is it another server, or another release?"
            ) from None


class Client:
    """`authorization` goes along, except where a request is to be without. Raises ServiceError for a wrong address."""

    def __init__(self, url: str, authorization: dict[str, str]) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[parts.scheme]
            self._connection = kind(parts.hostname or "", parts.port, timeout=REQUEST_SECONDS)
        except (KeyError, ValueError, http.client.InvalidURL):
            parts = urlsplit("")
        if not parts.hostname or not parts.path.isascii():
            raise ServiceError("that is no address of a server. Write it as http://127.0.0.1:3000.")
        self._prefix = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self.connections = 0
        self.on_loopback = False
        self._authorization = authorization

    def get(self, path: str) -> Answer:
        return self._send("GET", path, None, self._authorization)

    def post(self, path: str, document: Any, *, with_key: bool = True) -> Answer:
        body = json.dumps(document, ensure_ascii=False).encode()
        return self._send("POST", path, body, self._authorization if with_key else {})

    def close(self) -> None:
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None, authorization: dict[str, str]) -> Answer:
        """Raises ServiceError where no answer comes; a request is never sent twice."""
        trace_id, request_id = secrets.token_hex(16), f"smoke-{secrets.token_hex(8)}"
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
            "X-Request-Id": request_id,
            **authorization,
        }
        try:
            self._connect()
            started = time.perf_counter()
            self._connection.request(method, self._prefix + path, body, headers)
            response = self._connection.getresponse()
            content = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = str(error) or type(error).__name__
            raise ServiceError(
                f"{self.url} does not answer: {reason}. Are address and port right, and is it up?"
            ) from None
        except ValueError:  # its message would show the key
            self._connection.close()
            raise ServiceError("the address, or SLIPWAY_API_KEY, holds characters that neither may have.") from None
        seconds = time.perf_counter() - started
        return Answer(f"{method} {path}", response.status, response.headers, content, seconds, trace_id, request_id)

    def _connect(self) -> None:
        if self._connection.sock is None:
            self._connection.connect()
            self.connections += 1
            self.on_loopback = ipaddress.ip_address(self._connection.sock.getpeername()[0]).is_loopback
