"""CORS: no other origin is allowed unless a setting names it."""

from __future__ import annotations

import asyncio

import pytest

from bentos.auth import Cors

MINE = "https://app.example.com"


def call(origins, method="GET", **headers):
    """Return status, headers, and whether the request reached the application behind CORS."""
    reached, sent = [], []

    async def app(scope, receive, send):
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/v1/predict", "headers": raw}
    asyncio.run(Cors(app, origins)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), bool(reached)


def test_a_preflight_of_a_named_origin_is_answered_without_a_credential():
    status, headers, reached = call([MINE], "OPTIONS", origin=MINE, access_control_request_method="POST")
    assert (status, reached) == (204, False)
    assert headers[b"access-control-allow-origin"] == MINE.encode()
    allowed = headers[b"access-control-allow-headers"].split(b", ")
    assert {b"authorization", b"content-type", b"x-slipway-unit", b"x-slipway-test"} <= set(allowed)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{MINE}.evil.example", "http://app.example.com"])
def test_another_origin_is_not_allowed(origin):
    status, headers, reached = call([MINE], "OPTIONS", origin=origin, access_control_request_method="POST")
    assert reached and b"access-control-allow-origin" not in headers
    assert headers[b"vary"] == b"origin"


def test_a_named_origin_may_read_answers_and_limits_but_never_sends_cookies():
    status, headers, reached = call([MINE], origin=MINE)
    assert (status, reached) == (200, True)
    assert headers[b"access-control-allow-origin"] == MINE.encode()
    assert b"ratelimit-remaining" in headers[b"access-control-expose-headers"]
    assert b"access-control-allow-credentials" not in headers


def test_a_star_allows_every_origin():
    assert call(["*"], origin="https://any.example")[1][b"access-control-allow-origin"] == b"https://any.example"
