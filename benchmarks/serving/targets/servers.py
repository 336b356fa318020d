"""Servers of the serving benchmarks, each one worker on the same core; those not under load are stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving.load import http_request
from benchmarks.serving.targets import network
from benchmarks.serving.targets.image_networks import CONVOLUTIONS, DENSE
from benchmarks.serving.targets.slow_network import SLOW
from slipway import api_keys
from slipway.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120
LOOK_SECONDS = 0.01
SETTLE_SECONDS = 0.5  # for what all workers are due to do after a pause
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

BENTOML = [sys.executable, "-m", "bentoml", "serve", "-q"]
UVICORN = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
PEERS = {  # name: the command in front of its port
    "starlette": [*UVICORN, "--no-access-log", "--factory", "benchmarks.serving.targets.peers:starlette", "--port"],
    "fastapi": [*UVICORN, "--no-access-log", "--factory", "benchmarks.serving.targets.peers:fastapi", "--port"],
    "empty": [*BENTOML, "benchmarks.serving.targets.empty_service:Empty", "--port"],
    "bentoml": [*BENTOML, "benchmarks.serving.targets.peers:Bento", "--port"],
    "flask": [sys.executable, "-m", "benchmarks.serving.targets.peers"],
}
WITHOUT_KEY = "without key, limit, metrics"
MANY = "20 use cases, 4 workers"
SHORT_SEGMENTS = "segments of a second"
USECASES, WORKERS = {MANY: 20}, {MANY: 4}  # where it is not one
SLIPWAY = {  # name: the service, and what is different in its environment
    "slipway": ("bentos.service:slipway", {}),
    "with a shadow": ("bentos.service:slipway", {}),
    "without the log": ("benchmarks.serving.targets.ablation:slipway", {"BENCHMARK_WITHOUT": "log"}),
    WITHOUT_KEY: ("benchmarks.serving.targets.ablation:slipway", {"BENCHMARK_WITHOUT": "metrics"}),
    "2 ms": ("bentos.service:slipway", {}),
    "convolutions": ("bentos.service:slipway", {}),
    "convolutions without batches": ("bentos.service:slipway", {"SLIPWAY_BATCHING": "off"}),
    "dense layers": ("bentos.service:slipway", {}),
    "dense layers without batches": ("bentos.service:slipway", {"SLIPWAY_BATCHING": "off"}),
    MANY: ("bentos.service:slipway", {}),
    SHORT_SEGMENTS: ("bentos.service:slipway", {"SLIPWAY_SEGMENT_SECONDS": "1"}),
}
NETWORKS = {  # where it is not the tabular one
    "2 ms": SLOW,
    "convolutions": CONVOLUTIONS,
    "convolutions without batches": CONVOLUTIONS,
    "dense layers": DENSE,
    "dense layers without batches": DENSE,
}


class Server:
    """A server, not started yet. `folder` is its own: for the bundle, the log and the requests' bytes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        names = [network.USECASE, *(f"{network.USECASE}_{k}" for k in range(1, USECASES.get(name, 1)))]
        self._paths = [f"/v1/models/{usecase}/predict" for usecase in names] if len(names) > 1 else []
        self._path = self._paths[0] if self._paths else "/v1/predict" if name in SLIPWAY else "/predict"
        self._port = _free_port()
        self._processes: list[psutil.Process] = []
        self.network = NETWORKS.get(name, network.TABULAR)
        onnx = network.promote(folder / "var", self.network, names=names, shadow=name == "with a shadow")
        keys = folder if name == WITHOUT_KEY else Settings(var=folder / "var").key_file.parent
        key = api_keys.create(keys / "keys.json", "benchmark", ["predict", "read"], "100000000/second")[1]
        self._env = {
            **os.environ,
            "BENCHMARK_ONNX": str(onnx),
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        if name in SLIPWAY:
            service, own = SLIPWAY[name]
            self._key, self._command = key, [*BENTOML, service]
            self._env |= {"SLIPWAY_VAR": str(folder / "var"), "SLIPWAY_SERVE": ",".join(names)}
            self._env |= {"SLIPWAY_WORKERS": str(WORKERS.get(name, 1))}
            self._env |= {"SLIPWAY_SERVICE_PORT": str(self._port), **own}
        else:
            self._key, self._command = "", [*PEERS[name], str(self._port)]

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Start the server and wait until it is ready; it is stopped after the block."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
            )
        try:
            self._wait(process)
            top = psutil.Process(process.pid)
            self._processes = [top, *top.children(recursive=True)]
            yield self
        finally:
            self._signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                process.wait()

    def load(
        self,
        body: bytes | None,
        seconds: float = 3600.0,
        rate: float | None = None,
        path: str = "",
        requests: int | None = None,
        connections: int = 16,
        statuses: Collection[str] = ("200",),
    ) -> dict[str, Any]:
        """What the load generator saw: `rate` in answered requests a second, `percentiles` (50, 90, 99) in seconds."""
        file = self.folder / "request"
        file.write_bytes(http_request(path or self._path, body, self._key))
        command = [sys.executable, "-m", "benchmarks.serving.load", str(self._port), str(file)]
        command += ["--seconds", str(seconds), "--core", str(LOAD_CORE), "--connections", str(connections)]
        command += ["--rate", str(rate)] if rate else []
        command += ["--requests", str(requests)] if requests else []
        with self._awake():
            found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        if set(found["statuses"]) - set(statuses):
            raise RuntimeError(f"{self.name} answered {found['statuses']}")
        return found

    def get(self, path: str) -> str:
        with self._awake():
            return self._ask("GET", path)[1]

    def scrape(self) -> None:
        """Scrape `/metrics` of a server that is under load."""
        status, _ = self._ask("GET", "/metrics")
        if status != 200:
            raise RuntimeError(f"{self.name} answered a scrape with {status}")

    def scrape_seconds(self) -> float:
        """Time a scrape of a server that has nothing else to do."""
        with self._awake():
            time.sleep(SETTLE_SECONDS)
            self.scrape()  # the first of a worker adds series
            began = time.perf_counter()
            self.scrape()
            return time.perf_counter() - began

    def resident_bytes(self) -> int:
        """Return the resident bytes of the worker, the largest of the server's processes."""
        return max(process.memory_info().rss for process in self._processes)

    def cpu_seconds(self) -> float:
        """Return the processor time of the server's processes until now."""
        times = [process.cpu_times() for process in self._processes]
        return float(sum(one.user + one.system for one in times))

    def warm_up(self) -> None:
        """Send the first requests, which take seconds on some servers, and pause the server until it is used."""
        for path in [self._path, *self._paths * WORKERS.get(self.name, 1)]:
            self._ask("POST", path, self.network.body(1))
        self.load(self.network.body(1), 1.0)

    @contextmanager
    def _awake(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        path = "/livez" if self.name in ("starlette", "fastapi", "flask") else "/readyz"
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self._ask("GET", path)[0] == 200:
                    return
            time.sleep(LOOK_SECONDS)
        raise RuntimeError(f"{self.name} is not ready:\n{(self.folder / 'log').read_text()[-3000:]}")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, body, {"content-type": "application/json", "x-api-key": self._key})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def prepared(*names: str) -> Iterator[dict[str, Server]]:
    """Provide the servers by name, each with a folder that is removed after the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield {name: Server(name, Path(folder) / name.replace(" ", "-")) for name in names}


@contextmanager
def started(*names: str) -> Iterator[dict[str, Server]]:
    """Start the servers, warm and paused until they are used, and stop them after the block."""
    with prepared(*names) as servers, ExitStack() as running:
        for server in servers.values():
            running.enter_context(server.running())
            server.warm_up()
        yield servers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
