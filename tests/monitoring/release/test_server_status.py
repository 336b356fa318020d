"""Polls of the servers: the addresses that a name has now, and the status of each."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from monitoring.release import server_status
from monitoring.release.reconciler import describe_serving
from monitoring.release.server_status import all_server_statuses
from slipway.clients.mlflow.registry import ModelVersion
from slipway.contracts.registry_names import BUNDLE_SHA256

NAME = "serving-pods.example"


class Pod(BaseHTTPRequestHandler):
    """Returns its own address as the version, and the requested host as the source."""

    def do_GET(self) -> None:
        address = self.server.server_address[0]
        state = {"pid": 1, "generation": 1, "serving": "d", "version": "1", "device": "cpu", "source": "", "since": ""}
        content = json.dumps(
            {"name": "loans", "version": address, "source": self.headers["Host"], "workers": [state]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Two pods listen on it, at 127.0.0.2 and 127.0.0.3; at 127.0.0.4 nobody does."""
    with ExitStack() as stack:
        first = stack.enter_context(ThreadingHTTPServer(("127.0.0.2", 0), Pod))
        second = stack.enter_context(ThreadingHTTPServer(("127.0.0.3", first.server_port), Pod))
        for server in (first, second):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        yield first.server_port


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`resolves("127.0.0.2", …)`: what the name stands for from now on."""
    known: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: object, **more: object) -> list:
        if host != NAME:
            return real(host, port, *rest, **more)
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in known for entry in real(address, port, *rest, **more)]

    def now(*addresses: str) -> None:
        known[:] = addresses

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return now


def test_each_address_of_a_name_is_polled_with_that_host_name(port: int, resolves: Callable[..., None]) -> None:
    resolves("127.0.0.3", "127.0.0.2", "127.0.0.3")
    statuses = all_server_statuses([f"http://{NAME}:{port}"], "loans")
    assert [status.address for status in statuses] == [f"http://127.0.0.2:{port}", f"http://127.0.0.3:{port}"]
    assert [status.served.version for status in statuses] == ["127.0.0.2", "127.0.0.3"]
    assert {status.served.source for status in statuses} == {f"{NAME}:{port}"}


def test_a_name_is_resolved_with_every_poll(port: int, resolves: Callable[..., None]) -> None:
    resolves("127.0.0.2", "127.0.0.3")
    assert len(all_server_statuses([f"http://{NAME}:{port}"], "loans")) == 2
    resolves("127.0.0.3")
    (status,) = all_server_statuses([f"http://{NAME}:{port}"], "loans")
    assert (status.address, status.served.version) == (f"http://{NAME}:{port}", "127.0.0.3")


def test_a_pod_that_ends_or_starts_is_reported_as_unreachable(port: int, resolves: Callable[..., None]) -> None:
    resolves("127.0.0.2", "127.0.0.3", "127.0.0.4")
    statuses = all_server_statuses([f"http://{NAME}:{port}"], "loans")
    assert [status.served is None for status in statuses] == [False, False, True]
    assert f"http://127.0.0.4:{port} does not respond" in statuses[2].error
    version = ModelVersion("loans", "1", "", "", {BUNDLE_SHA256: "d"})
    assert describe_serving(statuses, "champion", version) == "loading: 2 of 2 workers, 1 of 3 servers do not respond"


def test_an_unresolvable_name_is_an_unreachable_server(resolves: Callable[..., None]) -> None:
    resolves()
    (status,) = all_server_statuses([f"http://{NAME}:3000"], "loans")
    assert status.error.startswith(f"http://{NAME}:3000 does not respond: [Errno -2] Name or service not known")


def test_ipv6_addresses_are_polled_if_there_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [(socket.AF_INET6, 1, 6, "", (address, 3000, 0, 0)) for address in ("fd00::1", "fd00::2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: known)
    assert server_status.addresses(f"http://{NAME}:3000") == ["fd00::1", "fd00::2"]
    known.append((socket.AF_INET, 1, 6, "", ("10.0.0.1", 3000)))
    assert server_status.addresses(f"http://{NAME}:3000") == [None]
