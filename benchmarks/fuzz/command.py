"""Command `python -m benchmarks.fuzz`: run each campaign from one seed, and report what was sent and what broke."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.fuzz import campaign, damaged_files, held_connections, mutated_responses
from benchmarks.fuzz.campaign import Found, neighbours, series, unknown_paths
from benchmarks.fuzz.server import served
from benchmarks.fuzz.target import Target

UNKNOWN_PATHS = 10_000


class Running(NamedTuple):
    """The server under test; `workers` are the processes that it had at first."""

    folder: Path
    port: int
    log: Path
    process: int
    workers: list[int]

    def faults(self) -> Iterator[str]:
        """Yield what its processes and its log show."""
        if _workers(self.process) != self.workers:
            yield "a worker ended"
        if "Traceback" in (text := self.log.read_text(errors="replace")):
            yield f"a stack trace in the log:\n{text[text.index('Traceback') :][:5000]}"


def fuzz_requests(seed: int, count: int) -> Found:
    """Send adversarial requests, and as many unknown paths as would fill the metrics."""
    with _running() as server:
        target = Target.of(server.port)
        found = campaign.run(target, seed, count)
        shown = series(target)
        unknown_paths(target, UNKNOWN_PATHS)
        if more := [line for line in series(target) - shown if b'route="metrics"' not in line]:
            found.fail(f"unknown paths made new series: {sorted(more)[:5]}")
        for wrong in [*neighbours(target), *server.faults()]:
            found.fail(wrong)
    return found


def fuzz_connections(seed: int, count: int) -> Found:
    """Hold connections to a server with few descriptors and limited memory."""
    with _running(held_connections.few_descriptors) as server, held_connections.limited_memory(server.workers) as limit:
        sys.stdout.write(f"memory is limited by {limit}\n")
        found = held_connections.run(Target.of(server.port), server.workers, seed, count)
        for wrong in server.faults():
            found.fail(wrong)
    return found


def fuzz_files(seed: int, count: int) -> Found:
    """Damage the files of a server, of its follower, of watch and of the log."""
    with _running() as server:
        found = damaged_files.run(server.folder, server.port, seed, count)
        for wrong in server.faults():
            found.fail(wrong)
    return found


CAMPAIGNS: dict[str, tuple[Callable[[int, int], Found], int]] = {
    "requests": (fuzz_requests, 100_000),
    "connections": (fuzz_connections, 5_000),
    "files": (fuzz_files, 1_000),
    "responses": (mutated_responses.run, 20_000),
}


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, (_, count) in CAMPAIGNS.items():
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help=f"how many (default: {count:,}, or 0 beside others)"
        )
    parser.add_argument("--seed", type=int, help="seed of them all (default: a random one, which is printed)")
    options = parser.parse_args()
    counts = {name: getattr(options, name) or 0 for name in CAMPAIGNS}
    if not any(counts.values()):
        counts = {name: count for name, (_, count) in CAMPAIGNS.items()}
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    logging.disable(logging.CRITICAL)  # what the parts in this process say of each case
    return max(_report(name, seed, count) for name, count in counts.items() if count)


def _report(name: str, seed: int, count: int) -> int:
    """Run a campaign, and print its counts and failures; returns 1 if there are any."""
    sys.stdout.write(f"{count:,} {name}, seed {seed}\n")
    sys.stdout.flush()
    began = time.monotonic()
    found = CAMPAIGNS[name][0](seed, count)
    seconds = time.monotonic() - began
    lines = [*found.table(), *found.failures, f"{seconds:.0f} s; {len(found.failures)} failures"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.failures else 0


@contextmanager
def _running(before: Callable[[], None] | None = None) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), before) as (port, log, process):
        yield Running(Path(folder), port, log, process.pid, _workers(process.pid))


def _workers(pid: int) -> list[int]:
    return sorted(child.pid for child in psutil.Process(pid).children())
