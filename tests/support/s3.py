"""Real S3 API for tests, behind a proxy that can be closed, with a bucket for each test.

def test_something(s3): s3.proxy.open = False
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.settings import Settings, settings
from tests.support import sharing
from tests.support.servers import free_port

START_SECONDS = 120
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "not-to-be-shown", "AWS_REGION": "eu-central-1"}


class ClosableProxy:
    """Proxy that passes connections on while it is open, else closes them; `held` delays them by seconds."""

    def __init__(self, port: int) -> None:
        self.open = True
        self.held = 0.0
        self.requests = 0
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.open = False
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if not self.open:
                return
            with socket.create_connection(("127.0.0.1", self._port)) as behind:
                threading.Thread(target=self._pump, args=(behind, client, False), daemon=True).start()
                self._pump(client, behind, True)

    def _pump(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and self.open:
                if is_request:
                    self.requests += 1
                    time.sleep(self.held)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Bucket:
    """Bucket of one test; `url` is SLIPWAY_LOG_URL while it runs."""

    url: str
    proxy: ClosableProxy
    settings: Settings


@pytest.fixture(scope="session")
def s3_port(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> int:
    program = str(needs("aws"))
    return int(sharing.started(tmp_path_factory, "aws", lambda folder: _start(program, folder / "aws.log")))


def _start(program: str, log: Path) -> sharing.Started:
    port = free_port()
    with log.open("wb") as output:
        command = [program, "start", "--port", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.pid, str(port)
        if process.poll() is not None or time.monotonic() > deadline:
            sharing.end(process.pid)
            raise RuntimeError(f"the AWS API did not start in {START_SECONDS} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


@pytest.fixture
def s3(s3_port: int, var: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    from pyarrow.fs import S3FileSystem

    proxy, name = ClosableProxy(s3_port), f"log-{uuid.uuid4().hex[:8]}"
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("SLIPWAY_LOG_URL", f"s3://{name}/of/pods")
    settings.cache_clear()
    S3FileSystem(endpoint_override=proxy.url, region=KEYS["AWS_REGION"], allow_bucket_creation=True).create_dir(name)
    yield Bucket(f"s3://{name}/of/pods", proxy, settings())
    proxy.close()
