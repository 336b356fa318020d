"""Request context: ids, credential and content headers of a request, and its body, read up to a limit."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

import msgspec

from slipway.errors import InputError
from slipway.ids import uuid7
from slipway.trace_context import read_traceparent

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_UTF_8 = {b"", b"utf-8", b"utf8", b"us-ascii"}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class ClientGone(Exception):
    """A client that closed the connection before its request was complete, so no response is sent."""


class ByteBudget(Protocol):
    """Memory for the bodies that are being received. `reserve` raises Unavailable where there is none left."""

    def reserve(self, size: int) -> None: ...

    def release(self, size: int) -> None: ...


class RequestContext(msgspec.Struct):
    """The headers of a request that matter, and the ids of the request.

    `uuid` is the server's own id, which row ids are derived from; clients cannot choose it. `host` and `origin` hold
    every such header, should there be several. `is_test` is what the client says of its request, and no more than that
    (bentos.models.published_rows). `credential` is unchecked:
    authentication sets its `digest`, `caller` (the pseudonym of the client), `principal` (bentos.auth's, for that
    package's questions alone) and `rate_limit_headers` (header lines).
    """

    uuid: str
    trace_id: str
    request_id: str
    content_type: bytes
    content_length: int | None
    encoding: bytes
    credential: bytes = b""
    digest: bytes = b""
    host: bytes = b""
    origin: bytes = b""
    is_test: bool = False
    caller: str | None = None
    rate_limit_headers: bytes = b""
    principal: Any = None

    @property
    def repeatable(self) -> bool:
        """Whether all ids are the server's own: headers with an id of the client's will hardly be sent again.

        Nor will those of a test.
        """
        own = self.request_id == self.uuid and self.trace_id == self.uuid.replace("-", "")
        return own and not self.is_test

    def renew(self) -> RequestContext:
        """Return the context of another request with the same header bytes; this one must be repeatable."""
        uuid = uuid7()
        trace_id = uuid.replace("-", "")
        kind, length, encoding = self.content_type, self.content_length, self.encoding
        credential, digest, host, origin = self.credential, self.digest, self.host, self.origin
        return RequestContext(uuid, trace_id, uuid, kind, length, encoding, credential, digest, host, origin)


def read_context(headers: Sequence[tuple[bytes, bytes]]) -> RequestContext:
    """Read the headers that matter; well-formed W3C `traceparent` and `X-Request-Id` headers are adopted."""
    uuid = uuid7()
    trace_id, request_id = uuid.replace("-", ""), uuid
    content_type = encoding = credential = host = origin = b""
    content_length, is_test = None, False
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            content_length = int(value)
        elif name == b"authorization":
            if value[:7].lower() == b"bearer ":
                credential = credential or value[7:].strip()
        elif name == b"x-api-key":
            credential = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"traceparent":
            trace_id = read_traceparent(value) or trace_id
        elif name == b"host":
            host = b"%b, %b" % (host, value) if host else value
        elif name == b"origin":
            origin = b"%b, %b" % (origin, value) if origin else value
        elif name == b"x-slipway-test":
            is_test = value.lower() == b"true"
        elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
    return RequestContext(
        uuid,
        trace_id,
        request_id,
        content_type,
        content_length,
        encoding,
        credential,
        host=host,
        origin=origin,
        is_test=is_test,
    )


def is_json(content_type: bytes) -> bool:
    """Tell whether a Content-Type is that of JSON in UTF-8."""
    if content_type == b"application/json":
        return True
    kind, *parameters = content_type.lower().split(b";")
    named = (parameter.strip().partition(b"=") for parameter in parameters)
    charsets = {value.strip(b'"') for name, _, value in named if name == b"charset"}
    return kind.strip() == b"application/json" and charsets <= _UTF_8


def wrong_content_type(content_type: bytes, allowed: str) -> InputError:
    """Return the error (415) for a body whose Content-Type is absent, or is not one of those `allowed`."""
    found = f"Content-Type {content_type[:100].decode('latin-1')!r}" if content_type else "no Content-Type"
    return InputError(f"{found} received; send {allowed}.", status=415)


async def read_body(receive: Receive, context: RequestContext, limit: int, budget: ByteBudget) -> bytes:
    """Read the whole body; refuse it as soon as it is known to be larger than `limit` bytes.

    Raises:
        InputError: 413, or 415 for a compressed body.
        Unavailable: the bodies of other requests take up the whole budget.
        ClientGone: the connection ended first.
    """
    if context.encoding and context.encoding.lower() != b"identity":
        raise InputError(
            f"Content-Encoding {context.encoding.decode('latin-1')!r} received; send the body as it is.", status=415
        )
    if context.content_length is not None and context.content_length > limit:
        raise _too_large(limit)
    message = await receive()
    body = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        return body
    return await _read_parts(receive, message, limit, budget)


async def _read_parts(receive: Receive, message: dict[str, Any], limit: int, budget: ByteBudget) -> bytes:
    parts, size = [], 0
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            if size + len(part) > limit:
                raise _too_large(limit)
            budget.reserve(len(part))
            size += len(part)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
    finally:
        budget.release(size)


def _too_large(limit: int) -> InputError:
    return InputError(f"the body is larger than {limit} bytes, which is the limit: send several requests.", status=413)
