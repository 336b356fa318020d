"""Command `python -m benchmarks.fuzz`: start a server, send 100,000 adversarial requests, and report the result."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.fuzz.campaign import neighbours, run, series, unknown_paths
from benchmarks.fuzz.server import served
from benchmarks.fuzz.target import Target

REQUESTS = 100_000
UNKNOWN_PATHS = 10_000


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many (default: {REQUESTS:,})")
    parser.add_argument("--seed", type=int, help="seed of them all (default: a random one, which is printed)")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    sys.stdout.write(f"{options.requests:,} adversarial requests, seed {seed}\n")
    sys.stdout.flush()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (port, log, process):
        target = Target.of(port)
        pids = _workers(process.pid)
        found = run(target, seed, options.requests)
        series(target)  # the request for /metrics makes a series of its own
        shown = series(target)
        unknown_paths(target, UNKNOWN_PATHS)
        wrong = found.failures + neighbours(target)
        if series(target) - shown:
            wrong.append(f"unknown paths made new series: {sorted(series(target) - shown)[:5]}")
        if _workers(process.pid) != pids:
            wrong.append("a worker ended")
        if "Traceback" in log.read_text():
            wrong.append(f"a stack trace in the log:\n{log.read_text()[-5000:]}")
    lines = [*found.table(), *wrong, f"{time.monotonic() - began:.0f} s; {len(wrong)} failures"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


def _workers(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children()}
