"""Client of a deployment: one connection that is kept open; every request has ids of its own."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from slipway.clients.http import HttpClient, decode, is_loopback, read_whole
from slipway.errors import ServiceError
from slipway.texts import one_line

T = TypeVar("T")
PROBLEM = "application/problem+json"
REQUEST_SECONDS = 10.0
_MAX_BYTES = 64 << 20


class Problem(msgspec.Struct):
    """The body of an error response (RFC 9457)."""

    status: int
    detail: str
    trace_id: str
    place: str | None = None


@dataclass(frozen=True)
class Response:
    """A response, its request (method and path), and the ids that were sent. Names of headers are in lower case."""

    request: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    trace_id: str
    request_id: str

    @property
    def summary(self) -> str:
        """Status and reason, the latter in the server's own words where it gives any."""
        try:
            detail = decode(self.body, Problem).detail
        except ValueError:
            detail = self.reason
        return f"{self.status} {one_line(detail)}".strip()

    def read(self, kind: type[T]) -> T:
        """Decode the body of a 200 as `kind`. Raises ServiceError for anything else."""
        if self.status != 200:
            raise ServiceError(f"{self.request} answers {self.summary}")
        return self._decode(kind)

    def problem(self, status: int) -> Problem:
        """Decode the body of an error with that status. Raises ServiceError for anything else."""
        if self.status != status:
            raise ServiceError(f"{self.request} answers {self.summary}; {status} is expected.")
        content_type = self.headers.get("content-type", "").partition(";")[0].strip()
        if content_type != PROBLEM:
            raise ServiceError(f"{self.request} answers {status} as {content_type or 'no type'}, not as {PROBLEM}.")
        return self._decode(Problem)

    def _decode(self, kind: type[T]) -> T:
        try:
            return decode(self.body, kind)
        except ValueError as error:
            raise ServiceError(
                f"{self.request} is not answered as by Slipway ({error}): is it another server, or another release?"
            ) from None


class Client:
    """Sends requests to the deployment, with `authorization` unless a request is to go without it.

    Raises:
        ServiceError: the address is not valid.
    """

    def __init__(self, url: str, authorization: dict[str, str]) -> None:
        self.url = _base_url(url)
        self.connections = 0
        self.on_loopback = False
        self._authorization = authorization
        self._http = HttpClient(self.url, timeout=REQUEST_SECONDS, use_proxy=False)
        self._local_address: Any = None

    def get(self, path: str) -> Response:
        return self._send("GET", path, None, self._authorization)

    def post(self, path: str, document: Any, *, with_key: bool = True) -> Response:
        body = json.dumps(document, ensure_ascii=False).encode()
        return self._send("POST", path, body, self._authorization if with_key else {})

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, body: bytes | None, authorization: dict[str, str]) -> Response:
        """Send a request, once. Raises ServiceError where no response comes."""
        if not all(value.isascii() and value.isprintable() for value in authorization.values()):
            raise ServiceError("SLIPWAY_API_KEY holds characters that a header may not have.")
        trace_id, request_id = secrets.token_hex(16), f"smoke-{secrets.token_hex(8)}"
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "X-Slipway-Test": "true",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
            "X-Request-Id": request_id,
            **authorization,
        }
        started = time.perf_counter()
        try:
            with self._http.stream(method, path, body, headers) as found:
                self._note_connection(found.extensions["network_stream"])
                received = read_whole(found, _MAX_BYTES)
        except ServiceError as error:
            raise ServiceError(
                f"{self.url} does not respond: {error}. Are address and port right, and is it up?"
            ) from None
        seconds = time.perf_counter() - started
        status, reason, headers = received.status, received.reason, dict(received.headers)
        return Response(f"{method} {path}", status, reason, headers, received.content, seconds, trace_id, request_id)

    def _note_connection(self, stream: Any) -> None:
        """Count the connection if it is a new one: each has another local port."""
        local, peer = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
        if local != self._local_address:
            self._local_address = local
            self.connections += 1
            self.on_loopback = is_loopback(peer[0])


def _base_url(url: str) -> str:
    """Return the address without credentials and trailing slash. Raises ServiceError where it is not valid."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not url.isascii() or not url.isprintable() or " " in url:
        raise ServiceError("that is no address of a server. Write it as http://127.0.0.1:3000.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
