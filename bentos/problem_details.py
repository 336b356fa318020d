"""HTTP form of every error: `application/problem+json` (RFC 9457) with the `trace_id` of the request."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from bentos.errors import Header, MethodNotAllowed, Refused, Unavailable
from slipway.errors import InputError

Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
PROBLEM = b"application/problem+json"
SAFE: list[Header] = [  # no browser should display, frame, sniff or cache these responses
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_SERVER_ERROR = "The server failed to answer; its log has the reason under this trace_id."
_log = logging.getLogger("slipway.serving")


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of an error response."""

    title: str
    status: int
    detail: Annotated[str, msgspec.Meta(description="What was received, what is allowed and what to do.")]
    trace_id: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
    place: Annotated[str | None, msgspec.Meta(examples=["instances[3].age"])] = None


def problem(error: BaseException, trace_id: str) -> tuple[int, bytes, list[Header]]:
    """Return status, body and headers for an error. An unexpected exception is logged, and its text is not sent."""
    extra: list[Header] = []
    place = None
    if isinstance(error, InputError):
        status, detail, place = error.status, str(error), error.place
        if isinstance(error, MethodNotAllowed):
            extra.append((b"allow", error.allowed.encode()))
    elif isinstance(error, Refused):
        status, detail = error.status, str(error)
        extra.extend(error.headers)
    elif isinstance(error, Unavailable):
        status, detail = 503, str(error)
        extra.append((b"retry-after", b"%d" % error.retry_after))
    else:
        status, detail = 500, _SERVER_ERROR
        _log.error("%s", error, exc_info=error, extra={"trace.id": trace_id})
    body = encode(status, detail, trace_id, place)
    return status, body, [(b"content-type", PROBLEM), (b"content-length", b"%d" % len(body)), *SAFE, *extra]


def encode(status: int, detail: str, trace_id: str, place: str | None = None) -> bytes:
    """Encode the body of an error response as JSON."""
    return msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail, trace_id, place))


def translating(send: Send, trace_id: str) -> Send:
    """Wrap `send` for BentoML's application: successful responses pass, errors become problem details.

    So do redirects, which would lead to another spelling of the path at whatever host the client named.
    """
    replaced = False

    async def translated(message: dict[str, Any]) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] >= 300:
            replaced = True
            status = message["status"] if message["status"] >= 400 else 404
            allowed = [header for header in message.get("headers", ()) if header[0].lower() == b"allow"]
            await _send_instead(send, status, trace_id, allowed)
        elif not replaced:
            await send(message)

    return translated


async def _send_instead(send: Send, status: int, trace_id: str, allowed: list[Header]) -> None:
    details = {
        404: "There is nothing at this path; /docs lists what there is.",
        405: "Not with this method; see /docs.",
    }
    body = encode(status, details.get(status, _SERVER_ERROR if status >= 500 else "The request was refused."), trace_id)
    headers = [(b"content-type", PROBLEM), (b"content-length", b"%d" % len(body)), *SAFE, *allowed]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
