"""Throughput of `/v1/predict` with everything on, compared with other servers of the same network.

It writes the table in docs/explanation/serving-performance.md.

Servers and load generator have a core each. Every figure is the median of pairs that are measured one right after the
other. What is measured goes into docs/explanation/serving.json, group by group; table and chart show what is in there.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.pages import write
from benchmarks.serving import chart
from benchmarks.serving.figures import latency, throughput
from benchmarks.serving.figures.batching import batching
from benchmarks.serving.figures.cold_start import cold_start
from benchmarks.serving.figures.memory import memory
from benchmarks.serving.figures.overload import overload
from benchmarks.serving.figures.scrape import scrape
from benchmarks.serving.measurement import Effort, Figure
from benchmarks.serving.targets.servers import LOAD_CORE, ROOT, SERVER_CORE

FOLDER = ROOT / "docs" / "explanation"
PAGE = "serving-performance.md"
LIBRARIES = ("bentoml", "onnxruntime", "uvicorn", "uvloop", "httptools", "starlette", "fastapi", "Flask", "keras")
GROUPS: dict[str, Callable[[Effort], Iterator[Figure]]] = {  # in the table's order
    "peers": throughput.peers,
    "flask": throughput.flask,
    "rows": throughput.rows,
    "parts": throughput.parts,
    "half_load": latency.half_load,
    "shadow": latency.shadow,
    "batching": batching,
    "overload": overload,
    "scrape": scrape,
    "cold_start": cold_start,
    "memory": memory,
}


def table(groups: dict[str, Any]) -> list[str]:
    """The page's part, from what the JSON holds of each group."""
    found = {name: groups[name] for name in GROUPS if name in groups}
    machines = dict.fromkeys(group["measured"] for group in found.values())
    return [
        f"Medians of interleaved pairs, 16 connections, server on core {SERVER_CORE}, load generator on core "
        f"{LOAD_CORE}.",
        "",
        "| `/v1/predict`, all on, against | Slipway | the other | ratio | must be | met | pairs |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
        *(Figure(**figure).row for group in found.values() for figure in group["figures"]),
        "",
        *machines,
    ]


def machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{_processor()}, Python {platform.python_version()}, {versions}."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(GROUPS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    return names


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / PAGE).is_file():
        raise argparse.ArgumentTypeError(f"{folder} holds no {PAGE} to write into: copy {FOLDER / PAGE} there")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each figure (default: 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each half of a pair (default: 2)")
    parser.add_argument("--only", type=_names, default=list(GROUPS), help=f"some of {','.join(GROUPS)} (default: all)")
    parser.add_argument("--without", type=_names, default=[], help="flask, where TensorFlow takes too long to load")
    parser.add_argument("--folder", type=_folder, default=FOLDER, help=f"where {PAGE}, serving.json and .svg are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end, too
    began, record = time.monotonic(), options.folder / "serving.json"
    groups = json.loads(record.read_text()) if record.exists() else {}
    for name in [name for name in options.only if name not in options.without]:
        figures = []
        for figure in GROUPS[name](Effort(options.pairs, options.seconds)):
            sys.stdout.write(figure.row + "\n")
            sys.stdout.flush()
            figures.append(figure._asdict())
        groups[name] = {"measured": machine(), "figures": figures}
        record.write_text(json.dumps(groups, indent=1) + "\n")
        write(table(groups), options.folder / PAGE)
        chart.draw(groups, options.folder / "serving.svg")
    sys.stdout.write(f"\n{machine()}\n{time.monotonic() - began:.0f} s; written to {options.folder / PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
