"""A server that answers each request with given bytes, or with what a function writes, and every client to call it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.auth.jwks import _read_source
from bentos.smoke import client as smoke
from bentos.smoke.responses import Model
from monitoring.release.server_status import ServerStatus, server_status
from slipway.clients import http
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.errors import ServiceError

SECONDS = 0.1  # each wait of a client; the whole of an exchange may take three times as long
Answer = Callable[[socket.socket], None]


@dataclass
class Hostile:
    """The running server; `heads` are those of the requests."""

    port: int
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(answer: Answer) -> Iterator[Hostile]:
    """Answer every connection's first request by `answer`, each in a thread, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hostile = Hostile(listening.getsockname()[1])

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                hostile.heads.append(head)
                answer(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield hostile
        listening.shutdown(socket.SHUT_RDWR)


def sends(content: bytes) -> Answer:
    """Send the bytes."""
    return lambda connection: connection.sendall(content)


def drips(start: bytes, piece: bytes) -> Answer:
    """Send the start, and then the piece every 20 ms for ever: more often than any wait of a client lasts."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.02)

    return answer


def floods(start: bytes, piece: bytes) -> Answer:
    """Send the start, and then the piece as fast as it is taken, for ever."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return answer


def response(status: str, content: bytes, *headers: str) -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def _registry(url: str) -> Registry:
    return Registry(url, SECONDS)


def _status(url: str) -> ServerStatus:
    status = server_status(url, "loans")
    if status.error:
        raise ServiceError(status.error)
    return status


CLIENTS: dict[str, Callable[[str, Path], Any]] = {
    "MLflow's JSON": lambda url, _: _registry(url).model("loans"),
    "MLflow's changes": lambda url, _: _registry(url).set_alias("loans", "champion", "1"),
    "MLflow's artifacts": lambda url, folder: _registry(url)._download("0/run/artifacts/x", folder / "x", 1 << 20),
    "small artifacts": lambda url, _: _registry(url).small_artifact("mlflow-artifacts:/0/run/artifacts", "x"),
    "Prefect": lambda url, _: PrefectClient(url, SECONDS).flow_run("r1"),
    "a prediction server": lambda url, _: _status(url),
    "the smoke test": lambda url, _: smoke.Client(url, {"Authorization": "Bearer secret"}).get("/").read(Model),
    "public keys": lambda url, _: http.decode(_read_source(f"{url}/jwks.json"), dict),
}
