"""Benchmark of a scrape of `/metrics`: its time, and what it costs the predictions beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.serving.measurement import Effort, Figure, in_pairs
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import MANY, Server, started

MOST_SECONDS = 0.05
EVERY_SECONDS = 0.5  # thirty times as often as Prometheus does by default
P99 = 2  # its place among the percentiles


def scrape(effort: Effort) -> Iterator[Figure]:
    """Scrape a server of 20 use cases and 4 workers: while it has nothing else to do, and at half of its load."""
    with started(MANY) as servers:
        server = servers[MANY]
        idle = [server.scrape_seconds() for _ in range(effort.pairs)]
        half = server.load(network.body(1), effort.seconds)["rate"] / 2
        pairs = in_pairs(
            lambda: _p99_beside_scrapes(server, effort.seconds, half),
            lambda: server.load(network.body(1), effort.seconds, half)["percentiles"][P99],
            effort.pairs,
        )
    name = f"scrape of `/metrics`, {MANY}: {MOST_SECONDS * 1e3:.0f} ms"
    yield Figure(name, "≤ 1", None, 1.0, idle, [MOST_SECONDS] * len(idle), "s")
    name = f"p99 at half of the maximum load beside a scrape each {EVERY_SECONDS:g} s, {MANY}: without"
    yield Figure(name, "≤ 1.2", None, 1.2, *pairs, "s")


def _p99_beside_scrapes(server: Server, seconds: float, rate: float) -> float:
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(server.load, network.body(1), seconds, rate)
        end = time.monotonic() + seconds - EVERY_SECONDS  # the load outlasts it: it has to start first
        while time.monotonic() < end:
            time.sleep(EVERY_SECONDS)
            server.scrape()
        return float(load.result()["percentiles"][P99])
