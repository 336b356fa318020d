"""The server as real processes, and a client that keeps a connection and its books."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90  # 4 alone; the machine may be busy with other tests
STOP_SECONDS = 30


class Server:
    """`bentoml serve bentos.service:slipway` in a session of its own."""

    def __init__(self, var: Path, usecases: tuple[str, ...], workers: int = 1, ready: bool = True, **env: str) -> None:
        self.var = var
        self.port = free_port()
        self.log = var.parent / f"server-{self.port}.log"
        self._ready = ready
        self._env = {
            **os.environ,
            "SLIPWAY_VAR": str(var),
            "SLIPWAY_SERVE": ",".join(usecases),
            "SLIPWAY_SERVICE_PORT": str(self.port),
            "SLIPWAY_WORKERS": str(workers),
            "BENTOML_HOME": str(var / "bentoml"),
            **env,
        }

    def __enter__(self) -> Server:
        self.var.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bentoml", "serve", "bentos.service:slipway"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        if self._ready:
            self.wait_ready()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        workers = self.workers() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for pid in [self.process.pid, *workers]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.get("/readyz")[0] == 200 and len(self.workers()) == int(self._env["SLIPWAY_WORKERS"]):
                    return
            time.sleep(0.2)
        raise AssertionError(f"the server is not ready (exit code {self.process.poll()}):\n{self.log.read_text()}")

    def workers(self) -> list[int]:
        """The pids of the worker processes."""
        found = psutil.Process(self.process.pid).children()
        return [child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE]

    def get(self, path: str) -> tuple[int, bytes]:
        return self.request("GET", path)

    def predict(self, usecase: str, **instance: Any) -> tuple[int, dict]:
        status, body = self.request("POST", f"/v1/models/{usecase}/predict", {"instances": [instance]})
        return status, json.loads(body)

    def request(self, method: str, path: str, content: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Load:
    """Threads that predict at a steady rate on connections they keep, and note what came back.

    >>> with Load(server, "loans", rate=100) as load:
    ...     time.sleep(5)
    """

    def __init__(
        self, server: Server, usecase: str, row: dict[str, Any], rate: float = 100, connections: int = 4
    ) -> None:
        self.answered: list[tuple[float, str, str]] = []
        self.failed: list[str] = []
        self.broken = 0
        self._server = server
        self._path = f"/v1/models/{usecase}/predict"
        self._body = json.dumps({"instances": [row]})
        self._pause = connections / rate
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(15)

    @property
    def versions(self) -> list[str]:
        return [version for _, version, _ in self.answered]

    @property
    def ids(self) -> list[str]:
        return [identity for _, _, identity in self.answered]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                connection.request("POST", self._path, self._body, {"content-type": "application/json"})
                answer = connection.getresponse()
                self._note(answer.status, answer.read())
            except (OSError, http.client.HTTPException):
                self.broken += 1  # the connection, as when its worker is killed: nothing was answered
                connection.close()
                time.sleep(0.05)
            due = max(due + self._pause, time.monotonic() - 1)
            self._stopping.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _note(self, status: int, body: bytes) -> None:
        content = json.loads(body)
        if status == 200:
            self.answered.append((time.monotonic(), content["model"]["version"], content["predictions"][0]["id"]))
        else:
            self.failed.append(f"{status}: {content}")


def logged_ids(var: Path, usecase: str = "loans") -> Counter[str]:
    """How often each row is in the log, from the files themselves; a line that is cut would not parse."""
    lines = [line for path in (var / "spool" / usecase).glob("prediction-*") for line in path.read_bytes().splitlines()]
    return Counter(json.loads(line)["slipway"]["row_id"] for line in lines)
