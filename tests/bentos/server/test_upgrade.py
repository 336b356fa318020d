"""Requests to change the protocol, as Java's and Apache's clients send them with everything: they are ignored."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvloop

from bentos.server import upgrade
from bentos.server.connection_limits import MOST_PIPELINED
from bentos.server.protocol import HardenedProtocol
from tests.bentos.server.wire import Transport, connect, sent, statuses

H2C = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\nUpgrade: h2c\r\n"
UPGRADES = {
    "Java": H2C,
    "Apache": "Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
    "lower case": "upgrade: h2c\r\nconnection: upgrade\r\n",
    "several protocols": "Upgrade: HTTP/2.0, h2c\r\nConnection: keep-alive, Upgrade\r\n",
    "twice": "Upgrade: h2c\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\nConnection: HTTP2-Settings\r\n",
}
WEBSOCKET = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


def post(fields: str, body: bytes = b'{"a":1}', chunked: bool = False) -> bytes:
    head = f"POST /x?y=1 HTTP/1.1\r\nHost: localhost\r\n{fields}X-Kept: a, b\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def echo(scope: dict, receive: Any, send: Any) -> None:
    """Answer with what arrived of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    found = {name.decode(): value.decode() for name, value in scope["headers"]}
    content = json.dumps(
        [scope["method"], scope["path"], scope["query_string"].decode(), found, body.decode()]
    ).encode()
    length = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": content})


def answered(*reads: bytes) -> HardenedProtocol:
    """Give the protocol the bytes of each read, and let it answer."""

    async def scenario() -> HardenedProtocol:
        protocol = connect(echo, Transport())
        for read in reads:
            protocol.data_received(read)
            await asyncio.sleep(0.001)
        while len(asyncio.all_tasks()) > 1:  # the requests that are being answered
            await asyncio.sleep(0.001)
        return protocol

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario())


def echoes(protocol: HardenedProtocol) -> list[Any]:
    return [json.loads(part.partition(b"\r\n\r\n")[2]) for part in sent(protocol).split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("chunked", [False, True], ids=["a length", "chunks"])
@pytest.mark.parametrize("fields", UPGRADES.values(), ids=UPGRADES)
def test_a_request_that_asks_for_another_protocol_is_answered_in_this_one(fields: str, chunked: bool) -> None:
    protocol = answered(post(fields, chunked=chunked), post("", b"{}"))
    assert statuses(protocol) == [200, 200], "and the connection stays"
    assert not protocol.transport.is_closing()
    method, path, query, headers, body = echoes(protocol)[0]
    assert (method, path, query, body) == ("POST", "/x", "y=1", '{"a":1}')
    assert headers["x-kept"] == "a, b"
    assert not {"upgrade", "http2-settings"} & {*headers}


def test_it_is_answered_wherever_its_bytes_are_cut() -> None:
    whole = post(H2C)
    for cut in range(1, len(whole), 7):
        protocol = answered(whole[:cut], whole[cut:])
        assert [found[4] for found in echoes(protocol)] == ['{"a":1}']


def test_such_requests_in_a_pipeline_are_answered_up_to_the_same_number() -> None:
    protocol = answered(post(H2C) * 3 + post("") + post(H2C))
    assert [found[4] for found in echoes(protocol)] == ['{"a":1}'] * 5
    protocol = answered(post(H2C) * 100)
    assert statuses(protocol) == [200] * MOST_PIPELINED
    assert protocol.transport.is_closing()


def test_a_client_that_asks_to_close_too_is_obeyed() -> None:
    protocol = answered(post("Connection: Upgrade, close\r\nUpgrade: h2c\r\n"))
    assert statuses(protocol) == [200]
    assert protocol.transport.is_closing()


def test_a_get_that_asks_for_an_upgrade_keeps_its_connection() -> None:
    protocol = answered(f"GET / HTTP/1.1\r\nHost: localhost\r\n{H2C}\r\n".encode() * 2)
    assert statuses(protocol) == [200, 200]
    assert not protocol.transport.is_closing()


def test_a_websocket_is_answered_in_http_and_its_body_refused() -> None:
    """What follows is of another protocol: none of it is read."""
    protocol = answered(f"GET / HTTP/1.1\r\nHost: localhost\r\n{WEBSOCKET}\r\n".encode())
    assert (statuses(protocol), protocol.transport.is_closing()) == ([200], True)
    for fields in (WEBSOCKET, WEBSOCKET.replace("websocket", "h2c, WebSocket")):
        protocol = answered(post(fields))
        assert (statuses(protocol), protocol.transport.is_closing()) == ([400], True)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"Upgrade, HTTP2-Settings", []),
        (b"upgrade,close", [(b"connection", b"close")]),
        (b"TE", [(b"connection", b"te")]),
    ],
)
def test_only_what_belongs_to_the_upgrade_is_left_out(value: bytes, kept: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"upgrade", b"h2c"), (b"connection", value), (b"http2-settings", b"AA"), (b"te", b"trailers")]
    head = upgrade.head_without_upgrade(b"GET", b"/", "1.1", headers)
    lines = [b"%b: %b" % pair for pair in [*kept, (b"te", b"trailers")]]
    assert head == b"\r\n".join([b"GET / HTTP/1.1", *lines, b"", b""])
