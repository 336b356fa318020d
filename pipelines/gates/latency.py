"""Two bundles in two real servers, `slipway serve`, asked in turn, so that a busy machine is busy for both."""

from __future__ import annotations

import json
import os
import random
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

from pipelines.artifacts import read_json, write_json
from slipway.config import UseCase
from slipway.contracts.bundle import manifest
from slipway.errors import ServiceError
from slipway.local import Process, free_port
from slipway.system.processes import RunningProcess

_REQUESTS, _WARM, _LEAST = 300, 30, 30
_MOST_SECONDS = 6.0  # of asking: a slow network is asked less often
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_PORTS = (20_000, 30_000)  # below the ports that a kernel gives to clients
# The network's own time is asked for: nothing is refused for being late, remembered, or waited for on a disk.
_SERVING = {"deadline_ms": int(_ANSWER_SECONDS * 1000), "cache": 0, "capture": False, "log": "best_effort"}


@dataclass(frozen=True)
class Median:
    """With its 95 % interval, by order statistics."""

    milliseconds: float
    low: float
    high: float
    requests: int

    def __str__(self) -> str:
        return f"{self.milliseconds:.2f} ms (95 % interval {self.low:.2f} to {self.high:.2f})"


def measure_medians(
    usecase: UseCase, folders: Mapping[str, Path], rows: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, Median]:
    """The median time of a prediction of one row by each folder's `serve/`, over kept-alive connections.

    Raises:
        ServiceError: a server did not start, or did not answer a row with 200.
    """
    seconds: dict[str, list[float]] = {name: [] for name in folders}
    with tempfile.TemporaryDirectory() as scratch, _serving(usecase, folders, Path(scratch)) as ports:
        asked = {name: _Asked(name, usecase.name, port, rows[name]) for name, port in ports.items()}
        deadline = time.monotonic() + _MOST_SECONDS
        for number in range(_WARM + _REQUESTS):
            if number >= _WARM + _LEAST and time.monotonic() > deadline:
                break
            for name, one in asked.items():
                seconds[name].append(one.seconds(number))
    return {name: _median(np.array(taken[_WARM:]) * 1000) for name, taken in seconds.items()}


class _Asked:
    """A server that is asked for one row after the other, over one connection."""

    def __init__(self, name: str, usecase: str, port: int, rows: Sequence[dict[str, Any]]) -> None:
        self._name, self._path = name, f"/v1/models/{usecase}/predict"
        self._bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)

    def seconds(self, number: int) -> float:
        body, started = self._bodies[number % len(self._bodies)], time.perf_counter()
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            raise ServiceError(f"the server of the {self._name} broke off: {error!r}.") from None
        taken = time.perf_counter() - started
        if answer.status != 200:
            raise ServiceError(f"the server of the {self._name} answered {answer.status}: {content[:300]!r}.")
        return taken


@contextmanager
def _serving(usecase: UseCase, folders: Mapping[str, Path], scratch: Path) -> Iterator[dict[str, int]]:
    """The port of each folder's server; they start together."""
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        started = []
        for name, folder in folders.items():
            ports[name] = free_port(random.randrange(*_PORTS), tuple(ports.values()))
            _servable(usecase, folder, scratch / name / "bundle")
            started.append(RunningProcess(_server(name, scratch / name, ports[name])))
            stack.callback(started[-1].stop)
        for one in started:
            one.wait_ready(_START_SECONDS)
        yield ports


def _servable(usecase: UseCase, folder: Path, into: Path) -> None:
    """A bundle of that `serve/` for this measurement alone: nobody has judged it yet."""
    shutil.copytree(folder / "serve", into / "serve")
    write_json(into / "serve" / "serving.json", {**read_json(into / "serve" / "serving.json"), **_SERVING})
    write_json(into / manifest.METRICS, {"passed": True, "gates": []})
    manifest.write(into, usecase.name, {}, manifest.SERVER_FILES)


def _server(name: str, home: Path, port: int) -> Process:
    """`slipway serve` without anything of this process' settings: no keys, no registry, no log but its own."""
    ours = sorted(name for name in os.environ if name.startswith("SLIPWAY_"))
    cleared = [part for name in (*ours, "MLFLOW_TRACKING_URI", "ELASTICSEARCH_URL") for part in ("-u", name)]
    command = ("serve", "--bundle", str(home / "bundle"), "--no-follow", "--workers", "1", "--device", "cpu")
    argv = ("env", *cleared, f"SLIPWAY_VAR={home / 'var'}", sys.executable, "-m", "slipway.cli", *command)
    url = f"http://127.0.0.1:{port}/readyz"
    return Process(f"the server of the {name}", (*argv, "--port", str(port)), home / "log", health_url=url)


def _median(milliseconds: np.ndarray) -> Median:
    """The interval's ends are the order statistics by the binomial distribution's normal approximation."""
    ordered, n = np.sort(milliseconds), len(milliseconds)
    half = 0.98 * n**0.5
    low, high = ordered[max(0, int(n / 2 - half))], ordered[min(n - 1, int(np.ceil(n / 2 + half)))]
    return Median(float(np.median(ordered)), float(low), float(high), n)
