"""Memory of the shipper with both sinks: pass after pass, and with a backlog that it ships at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node
from benchmarks.elasticsearch.throughput import backlog, new_environment
from benchmarks.monitoring.child_process import measure
from benchmarks.monitoring.process_memory import MOST_GROWTH, MOST_MB, SETTLED, passes_of

PASSES, BACKLOG = 10_000, 500_000


def memory(node: Node, passes: int = PASSES, number: int = BACKLOG) -> Iterator[Figure]:
    """Measure the memory after 1,000 passes and after the last one, and the peak of a process with a backlog."""
    with TemporaryDirectory() as temporary:
        environment = node.environment(Path(temporary), new_environment())
        node.set_up(environment)
        found, _ = passes_of("ship", passes, environment)
    first, last = found[min(SETTLED, passes)], found[passes]
    met = last <= MOST_MB and last <= MOST_GROWTH * first
    measured = f"{first:.0f} MB after {min(SETTLED, passes):,}, {last:.0f} MB after the last"
    must = f"≤ {MOST_MB} MB, ≤ {MOST_GROWTH} ×"
    yield Figure(f"memory of the shipper in {passes:,} passes", measured, must, met)
    with backlog(node, number) as environment:
        peak = measure(["-m", "slipway.cli", "ship", "--once"], environment).peak_mb
    name = f"the same, with a backlog of {number:,} events"
    yield Figure(name, f"{peak:.0f} MB at the peak", f"≤ {MOST_MB} MB", peak <= MOST_MB)
