"""Benchmarks of the throughput: against other servers, a loop without a server, and the service without a part."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.serving.measurement import Effort, Figure, Measure, in_pairs
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import ROOT, SERVER_CORE, Server, started

ROWS = 100
FLASK_SECONDS = 3.0  # it answers about 20 requests in one, and 16 wait


def peers(effort: Effort) -> Iterator[Figure]:
    """Measure the throughput against other servers."""
    with started("slipway", "starlette", "fastapi", "bentoml") as servers:
        yield _against(servers, "starlette", "bare Starlette, orjson, ONNX Runtime", 0.85, effort)
        yield _against(servers, "fastapi", "FastAPI, ONNX Runtime, async", 1.8, effort)
        yield _against(servers, "bentoml", "an async `@bentoml.api`", 10, effort)


def flask(effort: Effort) -> Iterator[Figure]:
    """Measure the throughput against the Flask tutorial."""
    longer = effort._replace(seconds=max(effort.seconds, FLASK_SECONDS))
    with started("slipway", "flask") as servers:
        yield _against(servers, "flask", "Flask with Keras's `model.predict`", 100, longer)


def parts(effort: Effort) -> Iterator[Figure]:
    """Measure the throughput with and without a part of the service."""
    with started("slipway", "without the log", "without key, limit, metrics") as servers:
        for name in ("without the log", "without key, limit, metrics"):
            yield _against(servers, name, name, 0.9, effort)


def rows(effort: Effort) -> Iterator[Figure]:
    """Measure the throughput of rows in large requests."""
    many = network.body(ROWS)
    with started("slipway") as servers:
        ours = servers["slipway"]
        pairs = in_pairs(_rate(ours, many, effort), _loop(ours.folder, many, effort.seconds), effort.pairs)
    yield Figure(f"{ROWS} rows in a request: a loop without a server", "≥ 0.7", 0.7, None, *pairs)


def _against(servers: dict[str, Server], name: str, title: str, least: float, effort: Effort) -> Figure:
    one = network.body(1)
    pairs = in_pairs(_rate(servers["slipway"], one, effort), _rate(servers[name], one, effort), effort.pairs)
    return Figure(title, f"≥ {least:g}", least, None, *pairs)


def _rate(server: Server, body: bytes, effort: Effort) -> Measure:
    return lambda: server.load(body, effort.seconds)["rate"]


def _loop(folder: Path, body: bytes, seconds: float) -> Measure:
    """Run `benchmarks.serving.batch_loop` on the servers' core."""
    (folder / "body").write_bytes(body)
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.batch_loop",
        str(folder / "body"),
        str(folder / "lines"),
        str(seconds),
    ]
    onnx = next((folder / "var" / "store").glob("*/serve/model.onnx"))

    def measure() -> float:
        result = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "BENCHMARK_ONNX": str(onnx)},
            capture_output=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
        return float(result.stdout)

    return measure
