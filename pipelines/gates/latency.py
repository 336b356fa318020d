"""Measure the latency of bundles in real servers, `slipway serve`, in turn, so that load affects all equally."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts import write_json
from pipelines.artifacts.json_files import read_json
from slipway.clients.http import is_healthy
from slipway.config import UseCase
from slipway.contracts.bundle import manifest
from slipway.errors import ServiceError
from slipway.system.ports import free_port
from slipway.system.processes import Process, RunningProcess

_REQUESTS, _WARM, _LEAST = 300, 30, 30
_MOST_SECONDS = 6.0  # of measuring: a slow network gets fewer requests
_START_SECONDS = 120.0
_RESPONSE_SECONDS = 60.0
_PORTS = range(20_000, 30_000)  # below the ports that a kernel gives to clients
# Measures the network alone: without deadline, cache, image capture and waiting for the log.
_SERVING = {"deadline_ms": int(_RESPONSE_SECONDS * 1000), "cache": 0, "capture": False, "log": "best_effort"}


@dataclass(frozen=True)
class Median:
    """Median with its 95 % interval by order statistics."""

    milliseconds: float
    low: float
    high: float
    requests: int

    def __str__(self) -> str:
        return f"{self.milliseconds:.2f} ms (95 % interval {self.low:.2f} to {self.high:.2f})"


def measure_medians(
    usecase: UseCase, folders: Mapping[str, Path], rows: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, Median]:
    """Measure the median latency of predicting one row with each folder's `serve/`, over persistent connections.

    Raises:
        ServiceError: a server did not start, or did not respond to a row with 200.
    """
    seconds: dict[str, list[float]] = {name: [] for name in folders}
    with tempfile.TemporaryDirectory() as scratch, _serving(usecase, folders, Path(scratch)) as ports:
        clients = {name: _Client(name, usecase.name, port, rows[name]) for name, port in ports.items()}
        deadline = time.monotonic() + _MOST_SECONDS
        for number in range(_WARM + _REQUESTS):
            if number >= _WARM + _LEAST and time.monotonic() > deadline:
                break
            for name, client in clients.items():
                seconds[name].append(client.measure(number))
    return {name: _median(np.array(taken[_WARM:]) * 1000) for name, taken in seconds.items()}


class _Client:
    """Client of one server: sends one row per request over one connection.

    It is http.client's, as the time of a larger client would be part of the measured latency.
    """

    def __init__(self, name: str, usecase: str, port: int, rows: Sequence[dict[str, Any]]) -> None:
        self._name, self._path = name, f"/v1/models/{usecase}/predict"
        self._bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_RESPONSE_SECONDS)

    def measure(self, number: int) -> float:
        """Send the row `number` and return the seconds until its response."""
        body, started = self._bodies[number % len(self._bodies)], time.perf_counter()
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            raise ServiceError(f"the server of the {self._name} broke off: {error!r}.") from None
        taken = time.perf_counter() - started
        if response.status != 200:
            raise ServiceError(f"the server of the {self._name} answered {response.status}: {content[:300]!r}.")
        return taken


@contextmanager
def _serving(usecase: UseCase, folders: Mapping[str, Path], scratch: Path) -> Iterator[dict[str, int]]:
    """Start a server per folder and yield their ports by the folder's name."""
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        started = []
        for name, folder in folders.items():
            ports[name] = free_port(secrets.choice(_PORTS), tuple(ports.values()))
            _write_bundle(usecase, folder, scratch / name / "bundle")
            started.append(RunningProcess(_server(name, scratch / name, ports[name])))
            stack.callback(started[-1].stop)
        for one in started:
            one.wait_ready(_START_SECONDS, is_healthy)
        yield ports


def _write_bundle(usecase: UseCase, folder: Path, into: Path) -> None:
    """Write a bundle with that `serve/` for this measurement only, with passed gates."""
    shutil.copytree(folder / "serve", into / "serve")
    serving = into / "serve" / "serving.json"
    write_json(serving, {**read_json(serving), **_SERVING})
    write_json(into / manifest.METRICS, {"passed": True, "gates": []})
    manifest.write(into, usecase.name, {}, manifest.SERVER_FILES)


def _server(name: str, home: Path, port: int) -> Process:
    """Return `slipway serve` without this process' settings: no keys, no registry, and a log of its own."""
    ours = sorted(name for name in os.environ if name.startswith("SLIPWAY_"))
    cleared = [part for name in (*ours, "MLFLOW_TRACKING_URI", "ELASTICSEARCH_URL") for part in ("-u", name)]
    command = ("serve", "--bundle", str(home / "bundle"), "--no-follow", "--workers", "1", "--device", "cpu")
    argv = ("env", *cleared, f"SLIPWAY_VAR={home / 'var'}", sys.executable, "-m", "slipway.cli", *command)
    url = f"http://127.0.0.1:{port}/readyz"
    return Process(f"the server of the {name}", (*argv, "--port", str(port)), home / "log", health_url=url)


def _median(milliseconds: np.ndarray) -> Median:
    """Return the median; ends of its interval are order statistics by the normal approximation of the binomial."""
    ordered, n = np.sort(milliseconds), len(milliseconds)
    half = 0.98 * n**0.5
    low, high = ordered[max(0, int(n / 2 - half))], ordered[min(n - 1, int(np.ceil(n / 2 + half)))]
    return Median(float(np.median(ordered)), float(low), float(high), n)
