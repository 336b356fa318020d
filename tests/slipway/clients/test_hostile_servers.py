"""Servers that drip, flood, redirect or talk too much: each client ends in time with one short error of ours."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slipway.clients import http
from slipway.clients.http import HttpClient
from slipway.clients.mlflow.registry import Registry
from slipway.errors import BundleError, RegistryError, ServiceError, SlipwayError
from slipway.settings import settings
from slipway.texts import one_line
from tests.slipway.clients.hostile import CLIENTS, SECONDS, drips, floods, response, sends, serving

MUCH = b"x" * 65536
LONGEST = 10.0  # seconds, on a busy machine; without a deadline none of these would ever end
OURS = (RegistryError, ServiceError, BundleError)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "the status line": drips(b"", b"H"),
    "headers": drips(HEAD, b"X-A: b\r\n"),
    "one header": drips(HEAD + b"X-A: ", b"b"),
    "interim responses": drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "the content": drips(HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "content to the end of the connection": drips(HEAD + b"\r\n", b" "),
    "chunks": drips(CHUNKED, b"1\r\n \r\n"),
    "the size of a chunk": drips(CHUNKED, b"0"),
    "trailers": drips(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "an error": drips(b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n", b" "),
    "a redirect": drips(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 100000\r\n\r\n", b" "),
}
FLOODS = {
    "an error": floods(b"HTTP/1.1 500 Oh\r\n\r\n", MUCH),
    "an error in chunks": floods(
        b"HTTP/1.1 503 Oh\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + MUCH + b"\r\n"
    ),
    "a success": floods(HEAD + b"\r\n", MUCH),
    "headers": floods(HEAD, b"X-A: " + b"b" * 60000 + b"\r\n"),
    "a header": floods(HEAD + b"X-A: ", MUCH),
    "the reason": floods(b"HTTP/1.1 500 ", MUCH),
}


PATIENCE = [
    "bentos.auth.jwks.TIMEOUT_SECONDS",
    "bentos.smoke.client.REQUEST_SECONDS",
    "monitoring.release.server_status.TIMEOUT_SECONDS",
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in PATIENCE:
        monkeypatch.setattr(name, SECONDS)
    monkeypatch.setattr("slipway.clients.prefect.BUSY_SECONDS", 0.0)
    monkeypatch.setattr("slipway.clients.prefect.BUSY_TRIES", 2)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-token")
    monkeypatch.setenv("PREFECT_API_KEY", "secret-token")
    monkeypatch.setenv("SLIPWAY_API_KEY", "secret-token-of-16")
    settings.cache_clear()
    yield


def fails(call: Callable[[str, Path], Any], url: str, folder: Path) -> SlipwayError:
    """Call a client and return its error, which is one of ours, short and on one line."""
    with pytest.raises(OURS) as raised:
        call(url, folder)
    message = str(raised.value)
    assert len(message) < 800 and message.isprintable() and "secret" not in message
    return raised.value


def each_fails(url: str, folder: Path) -> None:
    """Call all clients at once: most of the time they wait."""
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        list(pool.map(lambda call: fails(call, url, folder), CLIENTS.values()))


@pytest.mark.parametrize("slowly", DRIPS)
def test_a_server_that_drips_holds_no_client_longer_than_the_whole_may_take(slowly, tmp_path):
    with serving(DRIPS[slowly]) as server:
        started = time.monotonic()
        each_fails(server.url, tmp_path)
        assert time.monotonic() - started < LONGEST
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("slowly", DRIPS)
def test_a_server_that_drips_holds_no_download(slowly):
    with serving(DRIPS[slowly]) as server:
        started = time.monotonic()
        with contextlib.suppress(ServiceError):
            assert http.download(server.url, io.BytesIO(), timeout=SECONDS, max_bytes=1 << 20) in (302, 500)
        assert time.monotonic() - started < LONGEST


def test_a_download_may_take_long_that_goes_on_fast_enough(monkeypatch):
    monkeypatch.setattr(http, "SLOWEST_DOWNLOAD", 100_000)

    def answer(connection):
        connection.sendall(HEAD + b"Content-Length: 600000\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"x" * 30_000)
            time.sleep(0.03)

    file = io.BytesIO()
    with serving(answer) as server:
        assert http.download(server.url, file, timeout=SECONDS, max_bytes=1 << 20) == 200
    assert len(file.getvalue()) == 600_000


def test_a_server_that_does_not_read_holds_no_upload():
    with serving(lambda connection: time.sleep(1)) as server:
        started = time.monotonic()
        with pytest.raises(ServiceError, match="timed out"):
            HttpClient(server.url, timeout=SECONDS).request("PUT", content=b"x" * (32 << 20))
        assert time.monotonic() - started < LONGEST


@pytest.mark.parametrize("much", FLOODS)
def test_a_flood_is_cut_off_with_a_short_error(much, tmp_path, monkeypatch):
    monkeypatch.setattr("bentos.smoke.client._MAX_BYTES", 1 << 20)
    with serving(FLOODS[much]) as server:
        each_fails(server.url, tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_client_takes_its_credentials_to_where_a_redirect_leads(status, tmp_path):
    with serving(sends(response("200 OK", b"{}"))) as other:
        moved = response(f"{status} Moved", b"", f"Location: {other.url}/api/2.0/mlflow/registered-models/get")
        with serving(sends(moved)) as server:
            each_fails(server.url, tmp_path)
            assert len(server.heads) == len(CLIENTS)
    assert other.heads == []


LONG = b'{"error_code": "INTERNAL_ERROR", "message": "SELECT\\n\\u001b[31m * \\r FROM %s"}' % (b"x" * 50_000)


@pytest.mark.parametrize("content", [LONG, LONG + b" " * (2 << 20), b"\xff\xfe" * 40_000, b"[" * 60_000, b"null", b"7"])
@pytest.mark.parametrize("status", ["400 Bad\x1b[31m", "404 None", "500 Error", "503 Busy"])
def test_an_error_of_a_server_is_one_short_line_whatever_it_holds(content, status, tmp_path):
    with serving(sends(response(status, content, "Connection: close"))) as server:
        each_fails(server.url, tmp_path)


def test_the_reason_that_mlflow_gives_is_told():
    refusal = response("400 Bad Request", b'{"error_code": "A", "message": "no\\n such alias"}')
    with serving(sends(refusal)) as server, pytest.raises(RegistryError, match="answered 400: no such alias"):
        Registry(server.url, SECONDS).model("loans")


def test_a_list_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr("slipway.clients.mlflow.rest._MAX_PAGES", 5)
    with serving(sends(response("200 OK", b'{"next_page_token": "more"}', "Connection: close"))) as server:
        registry = Registry(server.url, 1)
        for ask in (registry.models, lambda: registry.runs("0"), lambda: registry.artifacts("r", "x")):
            with pytest.raises(RegistryError, match="no end after 5 pages"):
                ask()
        assert len(server.heads) == 15


def test_a_text_from_elsewhere_is_one_printable_line():
    assert one_line("a\r\nb\u2028c\x00d\x1b]0;e\u202ef") == "a b cd]0;ef"
    assert len(one_line("x" * 10_000_000)) == 300
    assert one_line("\n" * 10_000 + "x") == "…"
