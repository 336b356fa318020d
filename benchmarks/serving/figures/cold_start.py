"""Benchmark of the cold start: from the command to the first 200 of `/readyz`, against an empty BentoML service."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from benchmarks.serving.measurement import Effort, Figure, in_pairs
from benchmarks.serving.targets.servers import Server, prepared


def cold_start(effort: Effort) -> Iterator[Figure]:
    """Measure the start of the service against that of an empty one."""
    with prepared("slipway", "empty") as servers:
        ours, empty = servers["slipway"], servers["empty"]
        _seconds(ours)  # from here on both have their files in the page cache
        _seconds(empty)
        pairs = in_pairs(lambda: _seconds(ours), lambda: _seconds(empty), effort.pairs)
    yield Figure("cold start to ready: an empty BentoML service", "≤ + 1 s", None, 1.0, *pairs, "s", difference=True)


def _seconds(server: Server) -> float:
    began = perf_counter()
    with server.running():
        return perf_counter() - began
