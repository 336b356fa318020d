"""Trailer fields are never header fields (RFC 9110, section 6.5.1), wherever packets split the request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bentos.fast_path import micro_batch
from bentos.fast_path.micro_batch import MicroBatch
from bentos.fast_path.protocol import FastPathProtocol
from bentos.server.protocol import HardenedProtocol
from tests.bentos.conftest import Client
from tests.bentos.server.wire import connect, sent, statuses
from tests.support import bundles

BODY = json.dumps({"instances": bundles.ROWS["loans"][:1]}).encode()
PATH = b"/v1/models/loans/predict"
FIELDS = {
    "a key": b"x-api-key: %b",
    "a bearer token": b"Authorization: Bearer %b",
    "a request id": b"x-request-id: theirs",
    "a trace": b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
    "a type": b"content-type: text/plain",
    "an encoding": b"content-encoding: gzip",
    "an expectation": b"expect: 100-continue",
    "a length": b"content-length: 1",
    "another transfer encoding": b"transfer-encoding: gzip",
    "the end of the connection": b"connection: close",
    "an upgrade": b"connection: upgrade\r\nupgrade: websocket",
    "a host": b"host: evil.example",
    "an origin": b"origin: https://evil.example",
    "a proxied address": b"x-forwarded-for: 1.2.3.4",
}


def whole(trailer: bytes, *head: bytes, path: bytes = PATH) -> bytes:
    """Build a prediction request in one chunk with a trailer."""
    lines = [b"POST %b HTTP/1.1" % path, b"host: localhost", b"content-type: application/json", *head]
    lines += [b"transfer-encoding: chunked", b"", b"%x" % len(BODY), BODY, b"0", trailer, b"", b""]
    return b"\r\n".join(lines)


def answers(client: Client, data: bytes, cuts: list[int], kind: type[HardenedProtocol]) -> list[HardenedProtocol]:
    """Send the bytes on one connection for each cut, in two reads."""

    async def scenario() -> list[HardenedProtocol]:
        batch = MicroBatch(client.worker, asyncio.get_running_loop())
        made = []
        for cut in cuts:
            protocol = connect(client.application, protocol=kind, **{micro_batch.STATE_KEY: batch})
            protocol.data_received(data[:cut])
            await asyncio.sleep(0)
            if data[cut:] and not protocol.transport.is_closing():
                protocol.data_received(data[cut:])
            made.append(protocol)
        for _ in range(1000):
            await asyncio.sleep(0.005)
            if all(sent(protocol) for protocol in made):
                break
        for protocol in made:
            if protocol.transport.is_closing():
                protocol.connection_lost(None)
        await asyncio.sleep(0.01)
        return made

    return asyncio.run(scenario())


def every_cut(data: bytes) -> list[int]:
    """All places from the last byte of the head on, and no cut at all."""
    return [len(data), *range(data.index(b"\r\n\r\n"), len(data))]


@pytest.mark.parametrize("kind", [HardenedProtocol, FastPathProtocol])
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_trailer_field_changes_nothing(
    start_client: Callable[..., Client], field: bytes, kind: type[HardenedProtocol]
) -> None:
    client = start_client()
    data = whole(field.replace(b"%b", b"any"))
    made = answers(client, data, every_cut(data), kind)
    accepted = [protocol for protocol in made if statuses(protocol) == [200]]
    refused = [protocol for protocol in made if statuses(protocol) != [200]]
    assert not accepted or not refused, "the same for each place where it is cut"
    assert all(statuses(protocol) == [400] for protocol in refused), "what is no valid trailer is no valid HTTP"
    assert all(b"theirs" not in sent(p) and b"a" * 32 not in sent(p) and b"100 Continue" not in sent(p) for p in made)
    assert {event["trace"]["id"] for event in client.events()}.isdisjoint({"a" * 32})
    assert all(not protocol.transport.is_closing() for protocol in accepted)


@pytest.mark.parametrize("kind", [HardenedProtocol, FastPathProtocol])
@pytest.mark.parametrize("name", ["a key", "a bearer token"])
def test_a_credential_in_the_trailer_is_none(
    start_client: Callable[..., Client], key: Callable[..., str], kind: type[HardenedProtocol], name: str
) -> None:
    allowed, reading = key("one", "predict").encode(), key("two", "read").encode()
    client = start_client()
    trailer = FIELDS[name].replace(b"%b", allowed)
    for head, status in (((), 401), ((b"x-api-key: " + reading,), 403)):
        data = whole(trailer, *head)
        made = answers(client, data, every_cut(data), kind)
        assert [statuses(protocol) for protocol in made] == [[status]] * len(made)
    assert client.events() == []


@pytest.mark.parametrize("kind", [HardenedProtocol, FastPathProtocol])
def test_a_credential_in_the_head_counts_whatever_the_trailer_says(
    start_client: Callable[..., Client], key: Callable[..., str], kind: type[HardenedProtocol]
) -> None:
    allowed = key("one", "predict").encode()
    client = start_client()
    data = whole(b"x-api-key: wrong", b"x-api-key: " + allowed)
    made = answers(client, data, every_cut(data), kind)
    assert [statuses(protocol) for protocol in made] == [[200]] * len(made)


def test_the_head_of_the_next_request_is_read_again_after_a_trailer(start_client: Callable[..., Client]) -> None:
    client = start_client()
    data = whole(b"x-request-id: theirs") + whole(b"x: y", b"x-request-id: second")

    async def scenario(kind: type[HardenedProtocol]) -> Any:
        batch = MicroBatch(client.worker, asyncio.get_running_loop())
        protocol = connect(client.application, protocol=kind, **{micro_batch.STATE_KEY: batch})
        protocol.data_received(data)
        while len(statuses(protocol)) < 2:
            await asyncio.sleep(0.005)
        return sent(protocol)

    for kind in (HardenedProtocol, FastPathProtocol):
        found = asyncio.run(scenario(kind))
        assert found.count(b"x-request-id: second") == 1 and b"theirs" not in found
