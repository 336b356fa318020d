"""More than the server can do: how much of what it can do still gets done, and in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.serving.measurement import Effort, Figure
from benchmarks.serving.targets.servers import Server, started

CONNECTIONS = 256  # so many that a request hardly ever waits for one
SHED = ("200", "429", "503")
P99 = 2  # its place among the percentiles


def overload(effort: Effort) -> Iterator[Figure]:
    """Requests come at a rate, answered or not: three times as many as are answered of a 2 ms model where each
    connection waits for its answer, one and a half times as many of the tabular one."""
    with started("2 ms", "slipway") as servers:
        yield from _overload(servers["2 ms"], "a 2 ms model at three times its capacity", 3.0, 0.9, effort)
        yield from _overload(servers["slipway"], "a tabular model at one and a half times", 1.5, 0.6, effort)


def _overload(server: Server, name: str, times: float, least: float, effort: Effort) -> Iterator[Figure]:
    body = server.network.body(1)

    def load(rate: float | None, connections: int) -> dict[str, Any]:
        return server.load(body, effort.seconds, rate, connections=connections, statuses=SHED)

    rates, seen = [load(None, 16)["rate"]], []
    for _ in range(effort.pairs):
        seen.append(load(times * rates[-1], CONNECTIONS))
        rates.append(load(None, 16)["rate"])
    capacities = [(before + after) / 2 for before, after in zip(rates, rates[1:], strict=False)]
    good = [found["rate"] for found in seen]
    yield Figure(f"{name}, answered in time: its capacity", f"≥ {least}", least, None, good, capacities)
    p99, deadline = [found["percentiles"][P99] for found in seen], server.network.deadline_ms / 1000
    yield Figure(f"{name}, p99 of what is answered: the deadline", "≤ 1", None, 1.0, p99, [deadline] * len(p99), "s")
