"""How fast `/v1/predict` is with everything on, beside other servers of the same network: the table in docs/serving.md.

Servers and load generator have a core each. Every figure is the median of the ratios of pairs that are measured one
right after the other, so that a noisy machine disturbs both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import network
from benchmarks.drift import write
from benchmarks.servers import LOAD_CORE, ROOT, SERVER_CORE, Server, started

PAGE = ROOT / "docs" / "serving.md"
JSON = ROOT / "docs" / "serving.json"
LIBRARIES = ("bentoml", "onnxruntime", "uvicorn", "uvloop", "httptools", "starlette", "fastapi", "Flask", "keras")
ROWS = 100
SLOW_SECONDS = 3.0  # Flask answers about 20 requests in one, and 16 wait
Measure = Callable[[], float]


class Figure(NamedTuple):
    """`ours` and `theirs` are what each pair measured: requests a second, or seconds."""

    name: str
    must: str
    least: float | None
    most: float | None
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def met(self) -> bool:
        return (self.least is None or self.ratio >= self.least) and (self.most is None or self.ratio <= self.most)

    @property
    def row(self) -> str:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        verdict = "" if self.least is None and self.most is None else "yes" if self.met else "**no**"
        return f"| {self.name} | {_said(ours)} | {_said(theirs)} | {self.ratio:.2f} | {self.must} | {verdict} |"


def _said(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 1 else f"{value * 1e3:.2f} ms"


def figures(servers: dict[str, Server], pairs: int, seconds: float) -> Iterator[Figure]:
    """Each figure as it is measured."""
    one, many, ours = network.body(1), network.body(ROWS), servers["slipway"]

    def rate(name: str, body: bytes = one) -> Measure:
        longer = max(seconds, SLOW_SECONDS) if name == "flask" else seconds
        return lambda: servers[name].load(body, longer)["rate"]

    def against(name: str, must: str, other: Measure, least: float, rows: bytes = one) -> Figure:
        return Figure(name, must, least, None, *_pairs(rate("slipway", rows), other, pairs))

    yield against("bare Starlette, orjson, ONNX Runtime", "≥ 0.85", rate("starlette"), 0.85)
    yield against("FastAPI, ONNX Runtime, async", "≥ 1.8", rate("fastapi"), 1.8)
    yield against("an async `@bentoml.api`", "≥ 10", rate("bentoml"), 10)
    if "flask" in servers:
        yield against("Flask with Keras's `model.predict`", "≥ 100", rate("flask"), 100)
    loop = _loop(ours.folder, many, seconds)
    yield against(f"{ROWS} rows in a request: a loop without a server", "≥ 0.7", loop, 0.7, many)
    yield against("without the log", "≥ 0.9", rate("without the log"), 0.9)
    without = "without key, limit, metrics"
    yield against(without, "≥ 0.9", rate(without), 0.9)
    yield from _latencies(ours, one, pairs, seconds)


def _pairs(ours: Measure, theirs: Measure, pairs: int) -> tuple[list[float], list[float]]:
    """Interleaved, and each second pair the other way round."""
    found: tuple[list[float], list[float]] = ([], [])
    for index in range(pairs):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            found[side].append((ours, theirs)[side]())
    return found


def _loop(folder: Path, body: bytes, seconds: float) -> Measure:
    """`benchmarks.batch_loop` on the servers' core."""
    (folder / "body").write_bytes(body)
    arguments = [str(folder / "body"), str(folder / "lines"), str(seconds)]
    command = [sys.executable, "-m", "benchmarks.batch_loop", *arguments]
    onnx = next((folder.parent / "var" / "store").glob("*/serve/model.onnx"))

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


def _latencies(server: Server, body: bytes, pairs: int, seconds: float) -> Iterator[Figure]:
    """p50, p90 and p99 at half of the maximum, beside `/livez` at the same rate."""
    half = server.load(body, seconds)["rate"] / 2
    seen: list[tuple[Any, Any]] = []
    for _ in range(pairs):
        predict = server.load(body, seconds, half)["percentiles"]
        seen.append((predict, server.load(None, seconds, half, "/livez")["percentiles"]))
    for index, (name, most) in enumerate((("p50", 1.5), ("p90", 1.5), ("p99", None))):
        ours, theirs = ([pair[side][index] for pair in seen] for side in (0, 1))
        title = f"{name} at half of the maximum load: a route that does nothing"
        yield Figure(title, "≤ 1.5" if most else "reported", None, most, ours, theirs)


def table(found: list[Figure], pairs: int) -> list[str]:
    """The page's part."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"Medians of {pairs} interleaved pairs, 16 connections, server on core {SERVER_CORE}, load generator on "
        f"core {LOAD_CORE}.",
        "",
        "| `/v1/predict`, all on, against | Slipway | the other | ratio | must be | met |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *(figure.row for figure in found),
        "",
        f"{_processor()}, Python {platform.python_version()}, {versions}.",
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each figure (default: 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each half of a pair (default: 2)")
    parser.add_argument("--without-flask", action="store_true", help="leave Flask out: TensorFlow takes long to load")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    parser.add_argument("--json", type=Path, default=JSON, help="file for every pair")
    options = parser.parse_args()
    began, names = time.monotonic(), ["slipway", "starlette", "fastapi", "bentoml", "flask"]
    names += ["without the log", "without key, limit, metrics"]
    if options.without_flask:
        names.remove("flask")
    found = []
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), names) as servers:
        for figure in figures(servers, options.pairs, options.seconds):
            sys.stdout.write(figure.row + "\n")
            sys.stdout.flush()
            found.append(figure)
    lines = table(found, options.pairs)
    write(lines, options.page)
    content = [figure._asdict() | {"ratio": figure.ratio} for figure in found]
    options.json.write_text(json.dumps({"about": lines[-1], "figures": content}, indent=1) + "\n")
    sys.stdout.write(f"\n{lines[-1]}\n{time.monotonic() - began:.0f} s; written to {options.page}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
