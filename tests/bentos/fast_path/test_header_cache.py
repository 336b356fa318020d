"""Cached headers: found by identical bytes only, and requests with them are answered as after parsing."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from bentos.fast_path import header_cache
from bentos.fast_path.header_cache import HeaderCache
from bentos.request import read_context
from slipway import api_keys
from slipway.settings import Settings
from tests.bentos.fast_path.raw_requests import ROW, answers, request
from tests.bentos.server.processes import Server
from tests.support import bundles

BODY = b'{"instances":[]}'
HEADERS = [(b"host", b"a"), (b"content-length", b"16")]
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 16\r\n\r\n"


def cache_with(data: bytes = HEAD + BODY, headers: list = HEADERS, body: bytes = BODY) -> HeaderCache:
    made = HeaderCache()
    made.keep(data, "loans", read_context(headers), body)
    return made


def test_headers_are_cached_by_their_bytes_and_each_request_has_its_own_ids():
    (name, head), body = cache_with().find(HEAD + b'{"instances":{}}')
    assert (name, head.content_length, body) == ("loans", 16, b'{"instances":{}}')
    first, second = head.renew(), head.renew()
    assert len({head.uuid, first.uuid, second.uuid, first.trace_id, second.trace_id}) == 5
    assert first.request_id == first.uuid
    assert first.trace_id == first.uuid.replace("-", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        HEAD,
        HEAD + BODY[:-1],
        HEAD + BODY + b"P",
        HEAD + BODY + HEAD + BODY,
        b"\r\n" + HEAD + BODY,
        HEAD.replace(b"16", b"17") + BODY + b" ",
        HEAD.replace(b"host: a", b"host: b") + BODY,
    ],
)
def test_other_headers_and_incomplete_bodies_are_left_to_the_parser(data):
    assert cache_with().find(data) is None


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (HEAD + BODY, [*HEADERS, (b"x-request-id", b"mine")]),
        (HEAD + BODY, [*HEADERS, (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00")]),
        (HEAD + BODY, HEADERS[:1]),
        (HEAD + BODY + HEAD + BODY, HEADERS),
        (b"\r\n\r\n" + HEAD + BODY, HEADERS),
        (b"", HEADERS),
        (HEAD[:-4] + b"\r\nx: " + b"y" * header_cache.MAX_HEAD_BYTES + b"\r\n\r\n" + BODY, HEADERS),
    ],
)
def test_headers_are_not_cached_if_unique_or_incomplete(data, headers):
    made = cache_with(data, headers)
    assert made.find(HEAD + BODY) is None
    assert made.find(data) is None


def test_many_different_headers_use_bounded_memory(monkeypatch):
    monkeypatch.setattr(header_cache, "MAX_ENTRIES", 10)
    made = HeaderCache()
    for number in range(1000):
        data = HEAD.replace(b"host: a", b"host: %d" % number) + BODY
        made.keep(data, "loans", read_context(HEADERS), BODY)
        assert made.find(data) is not None
        assert len(made._entries) <= 10


def answer(connection: socket.socket) -> tuple[int, dict]:
    return answers(connection, 1)[0]


def test_requests_with_the_same_headers_are_each_answered_by_their_own_body(connection: socket.socket) -> None:
    found = []
    for row in (ROW, ROW, {**ROW, "age": 60}, {**ROW, "age": "no"}, {**ROW, "age": 31}, ROW):
        connection.sendall(request(row))
        found.append(answer(connection))
    assert [status for status, _ in found] == [200, 200, 200, 422, 200, 200]
    assert found[3][1]["place"] == "instances[0].age"
    good = [content for status, content in found if status == 200]
    assert len({content["request_id"] for content in good}) == 5
    scores = [content["predictions"][0]["score"] for content in good]
    assert scores[0] == scores[1] == scores[4] != scores[2]


def test_cached_headers_whose_body_is_late_or_followed_by_more(connection: socket.socket) -> None:
    whole = request(ROW)
    for _ in range(2):
        connection.sendall(whole)
        assert answer(connection)[0] == 200
    head = whole.index(b"\r\n\r\n") + 4
    for cut in (head, head + 5, len(whole) - 1):
        connection.sendall(whole[:cut])
        time.sleep(0.05)
        connection.sendall(whole[cut:])
        assert answer(connection)[0] == 200
    connection.sendall(whole + whole[:-3])
    assert answer(connection)[0] == 200
    connection.sendall(whole[-3:])
    assert answer(connection)[0] == 200
    connection.sendall(b"POST /v1/predict HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
    assert answer(connection)[0] == 400


def test_a_connection_stays_open_while_requests_arrive_and_not_much_longer(connection: socket.socket) -> None:
    """Check the keep-alive timeout: uvicorn gives an idle connection 5 s."""
    for _ in range(16):
        connection.sendall(request(ROW))
        assert answer(connection)[0] == 200
        time.sleep(0.5)
    started = time.monotonic()
    assert connection.recv(1) == b""
    assert time.monotonic() - started < 15


@pytest.mark.slow
def test_a_key_is_verified_for_each_request_with_cached_headers(tmp_path: Path) -> None:
    """Refuse cached headers whose key is revoked, over a limit, or for another use case."""
    bundles.promote(tmp_path / "var", tmp_path / "one")
    file = Settings(var=tmp_path / "var").key_file
    (kept_key, text), (_, limited) = (
        api_keys.create(file, name, ["predict"], rate) for name, rate in (("one", ""), ("two", "3/hour"))
    )
    _, other = api_keys.create(file, "three", ["admin"], usecases=["prices"])
    _, few = api_keys.create(file, "four", ["predict"], usecases=["loans"], rows="2/hour")
    with (
        Server(tmp_path / "var", ("loans",)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as connected,
    ):

        def status(secret: str) -> int:
            connected.sendall(request(ROW, more=f"x-api-key: {secret}\r\n"))
            return answer(connected)[0]

        assert [status(limited) for _ in range(5)] == [200, 200, 200, 429, 429]
        assert [status(text) for _ in range(3)] == [200] * 3
        assert [status(other) for _ in range(3)] == [403] * 3
        assert [status(few) for _ in range(3)] == [200, 200, 429]
        api_keys.revoke(file, kept_key.name)
        time.sleep(1)
        assert [status(text) for _ in range(3)] == [401] * 3
