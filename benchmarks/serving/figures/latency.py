"""Benchmarks of the latency at half of the maximum load: against an empty route, and with a slow shadow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.serving.measurement import Effort, Figure, in_pairs
from benchmarks.serving.targets import network
from benchmarks.serving.targets.servers import Server, started

P90 = 1  # its place among the percentiles
_SHED = re.compile(r"^slipway_shadow_shed_total\{.*\} (\S+)$", re.MULTILINE)


def half_load(effort: Effort) -> Iterator[Figure]:
    """Measure p50, p90 and p99 against `/livez` at the same rate."""
    body, seconds = network.body(1), effort.seconds
    with started("slipway") as servers:
        server = servers["slipway"]
        half = server.load(body, seconds)["rate"] / 2
        seen = in_pairs(
            lambda: server.load(body, seconds, half)["percentiles"],
            lambda: server.load(None, seconds, half, "/livez")["percentiles"],
            effort.pairs,
        )
    for index, (name, most) in enumerate((("p50", 1.5), ("p90", 1.5), ("p99", None))):
        ours, theirs = ([found[index] for found in side] for side in seen)
        title = f"{name} at half of the maximum load: a route that does nothing"
        yield Figure(title, "≤ 1.5" if most else "reported", None, most, ours, theirs, "s")


def shadow(effort: Effort) -> Iterator[Figure]:
    """p90 with a shadow whose network takes more than ten times as long, beside p90 without it.

    Raises:
        RuntimeError: the shadow was not shed.
    """
    body, seconds = network.body(1), effort.seconds
    with started("slipway", "with a shadow") as servers:
        alone, shadowed = servers["slipway"], servers["with a shadow"]
        half = alone.load(body, seconds)["rate"] / 2

        def p90(server: Server) -> float:
            return server.load(body, seconds, half)["percentiles"][P90]

        pairs = in_pairs(lambda: p90(shadowed), lambda: p90(alone), effort.pairs)
        if not _SHED.search(shadowed.get("/metrics")):
            raise RuntimeError("the shadow was not shed: its network is not slow enough here")
    title = "p90 at half of the maximum load beside a shadow ten times slower, which is shed: without it"
    yield Figure(title, "≤ 1.1", None, 1.1, *pairs, "s")
