"""What every request brings: ids taken over when they are valid and made when not, and a body of limited size."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from slipway.errors import InputError
from slipway.ids import uuid7

if TYPE_CHECKING:
    from bentos.auth.rate_limits import WindowCount
    from bentos.worker import ServedModel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NO_TRACE = b"0" * 32
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class ClientGone(Exception):
    """The client closed the connection before its request was whole: there is nobody to answer."""


class RequestContext(msgspec.Struct):
    """`uuid` is the server's own id of the request, which ids of rows are made from; callers cannot choose it.

    `credential` is unchecked. Its `digest`, `caller` (a mask) and `count` (against its rate) are set at the gate.
    """

    uuid: str
    trace_id: str
    request_id: str
    content_type: bytes
    content_length: int | None
    encoding: bytes
    credential: bytes = b""
    digest: bytes = b""
    caller: str | None = None
    count: WindowCount | None = None

    @property
    def repeatable(self) -> bool:
        """Whether its ids are all the server's own: a head with one of the caller's will hardly come again."""
        return self.request_id == self.uuid and self.trace_id == self.uuid.replace("-", "")

    def again(self) -> RequestContext:
        """The head of another request that came with the same bytes, where this one is repeatable."""
        uuid = uuid7()
        trace_id = uuid.replace("-", "")
        kind, length, encoding = self.content_type, self.content_length, self.encoding
        return RequestContext(uuid, trace_id, uuid, kind, length, encoding, self.credential, self.digest)


def read_head(headers: Sequence[tuple[bytes, bytes]]) -> RequestContext:
    """The headers that matter: W3C `traceparent` and `X-Request-Id` are taken over where they are well formed."""
    uuid = uuid7()
    trace_id, request_id = uuid.replace("-", ""), uuid
    content_type = encoding = credential = b""
    content_length = None
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
            found = _TRACEPARENT.fullmatch(value)
            if found and found.group(1) != _NO_TRACE:
                trace_id = found.group(1).decode()
        elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
    return RequestContext(uuid, trace_id, request_id, content_type, content_length, encoding, credential)


async def read_body(receive: Receive, head: RequestContext, served: ServedModel) -> bytes:
    """The whole body, refused as soon as it is known to be larger than the settings allow.

    Raises:
        InputError: 413, or 415 for a compressed body.
        Unavailable: other bodies take all the room there is.
        ClientGone: the connection ended first.
    """
    if head.encoding and head.encoding != b"identity":
        raise InputError(
            f"Content-Encoding {head.encoding.decode('latin-1')!r} came; send the body as it is.", status=415
        )
    limit = served.settings.max_body_bytes
    if head.content_length is not None and head.content_length > limit:
        raise _too_large(limit)
    message = await receive()
    body = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        return body
    return await _read_rest(receive, message, served, limit)


async def _read_rest(receive: Receive, message: dict[str, Any], served: ServedModel, limit: int) -> bytes:
    parts, size = [], 0
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            if size + len(part) > limit:
                raise _too_large(limit)
            served.slots.receive(served.name, len(part))
            size += len(part)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
    finally:
        served.slots.received(size)


def _too_large(limit: int) -> InputError:
    return InputError(f"the body is larger than {limit} bytes, which is the limit: send several requests.", status=413)
