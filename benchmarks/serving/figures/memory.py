"""Benchmark of memory growth: resident bytes of the worker at request 1,000,000 against request 200,000."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import numpy as np

from benchmarks.serving.measurement import Effort, Figure
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import Server, started

BEGIN, END = 200_000, 1_000_000
LOOK_SECONDS = 0.5


def memory(effort: Effort) -> Iterator[Figure]:
    """Fit a least-squares line through samples of the resident bytes; one run, whatever the effort."""
    with started("slipway") as servers:
        server = servers["slipway"]
        server.load(network.body(1), requests=BEGIN)
        samples = _sampled(server)
    slope, begin = np.polyfit(np.linspace(0, 1, len(samples)), np.array(samples) / 1e6, 1).tolist()
    title = f"resident memory at request {END:,}: at request {BEGIN:,}"
    yield Figure(title, "≤ 1.02", None, 1.02, [begin + slope], [begin], "MB")


def _sampled(server: Server) -> list[int]:
    """Sample the resident bytes of the worker while the other requests are answered."""
    samples = []
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(server.load, network.body(1), requests=END - BEGIN)
        while not load.done():
            samples.append(server.resident_bytes())
            sleep(LOOK_SECONDS)
        load.result()
    return samples
