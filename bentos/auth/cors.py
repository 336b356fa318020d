"""Cross-origin requests, for the origins that a setting names; without one nothing of this is in the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bentos.errors import Header
from bentos.problem_details import Send
from bentos.request import Receive, Scope

_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, traceparent, x-api-key, x-request-id, x-slipway-test, x-slipway-unit",
    ),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]
_EXPOSED = (
    b"access-control-expose-headers",
    b"ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-rows-limit, ratelimit-rows-remaining, "
    b"ratelimit-rows-reset, retry-after, x-request-id, x-slipway-cache, x-trace-id",
)
_VARY = (b"vary", b"origin")


class Cors:
    """An ASGI application around another one. Credentials come in headers, so cookies are never allowed."""

    def __init__(self, app: Any, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        origin = sent.get(b"origin")
        if origin is None or not ({origin, b"*"} & self._origins):
            await self._app(scope, receive, _with(send, [_VARY]))
            return
        allowed = [(b"access-control-allow-origin", origin), _VARY]
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in sent:
            await send({"type": "http.response.start", "status": 204, "headers": [*allowed, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, _with(send, [*allowed, _EXPOSED]))


def _with(send: Send, headers: list[Header]) -> Send:
    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return sending
