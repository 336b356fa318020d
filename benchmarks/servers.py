"""The servers of the serving benchmark, each one worker on the same core; only the one that is asked does anything."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import network
from benchmarks.load import http_request
from slipway import keys
from slipway.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

BENTOML = [sys.executable, "-m", "bentoml", "serve", "-q"]
UVICORN = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
PEERS = {  # name: the command in front of its port
    "starlette": [*UVICORN, "--no-access-log", "--factory", "benchmarks.peers:starlette", "--port"],
    "fastapi": [*UVICORN, "--no-access-log", "--factory", "benchmarks.peers:fastapi", "--port"],
    "bentoml": [*BENTOML, "benchmarks.peers:Bento", "--port"],
    "flask": [sys.executable, "-m", "benchmarks.peers"],
}
SLIPWAY = {  # name: the service, and what is different in its environment
    "slipway": ("bentos.service:slipway", {}),
    "without the log": ("benchmarks.ablated:slipway", {"BENCHMARK_WITHOUT": "log"}),
    "without key, limit, metrics": (
        "benchmarks.ablated:slipway",
        {"BENCHMARK_WITHOUT": "metrics", "SLIPWAY_KEYS": "/nonexistent/keys.json"},
    ),
}


@dataclass(frozen=True)
class Server:
    """A server that is ready. `folder` is for the requests' bytes."""

    name: str
    port: int
    path: str
    key: str
    folder: Path

    def load(self, body: bytes | None, seconds: float, rate: float | None = None, path: str = "") -> dict[str, Any]:
        """What the load generator saw: `rate` in requests a second, `percentiles` (50, 90, 99) in seconds."""
        file = self.folder / "request"
        file.write_bytes(http_request(path or self.path, body, self.key))
        command = [sys.executable, "-m", "benchmarks.load", str(self.port), str(file)]
        command += ["--seconds", str(seconds), "--core", str(LOAD_CORE)]
        command += ["--rate", str(rate)] if rate else []
        found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        if set(found["statuses"]) - {"200"}:
            raise RuntimeError(f"{self.name} answered {found['statuses']}")
        return found


@contextmanager
def started(folder: Path, names: list[str]) -> Iterator[dict[str, Server]]:
    """The servers by name, ready and warm; ended with the block."""
    onnx = network.promote(folder / "var")
    key_file = Settings(var=folder / "var").key_file
    _, key = keys.create(key_file, "benchmark", ["predict"], "100000000/second")
    env = {**os.environ, "BENCHMARK_ONNX": str(onnx), "BENTOML_DO_NOT_TRACK": "True", "TF_CPP_MIN_LOG_LEVEL": "2"}
    env |= {"SLIPWAY_VAR": str(folder / "var"), "SLIPWAY_SERVE": network.USECASE, "SLIPWAY_WORKERS": "1"}
    with ExitStack() as running:
        servers = {}
        for name in names:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            port, ours = _free_port(), name in SLIPWAY
            own = {"BENTOML_HOME": str(place), **(SLIPWAY[name][1] if ours else {})}
            own |= {"SLIPWAY_SERVICE_PORT": str(port)} if ours else {}
            command = [*BENTOML, SLIPWAY[name][0]] if ours else [*PEERS[name], str(port)]
            running.enter_context(_process(command, env | own, place / "log"))
            servers[name] = Server(name, port, "/v1/predict" if ours else "/predict", key if ours else "", place)
        for server in servers.values():
            _wait(server)
            _request(server, "POST", server.path, network.body(1))  # the first answer of some takes seconds
            server.load(network.body(1), 1.0)
        yield servers


@contextmanager
def _process(command: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    path = "/readyz" if server.name in SLIPWAY else "/livez"
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            if _request(server, "GET", path) == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{server.name} is not ready:\n{(server.folder / 'log').read_text()[-3000:]}")


def _request(server: Server, method: str, path: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, body, {"content-type": "application/json", "x-api-key": server.key})
    return connection.getresponse().status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
