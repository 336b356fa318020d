"""Rate at which the shipper catches up, after an outage of Elasticsearch with 1,000 events arriving in a second.

It is compared with ready-made bodies of as many events that meet the same: a node that has just started, whose code is
not compiled yet, and as many events arriving beside them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.elasticsearch import events
from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import OwnNode
from benchmarks.elasticsearch.shipper_process import shipping
from benchmarks.elasticsearch.throughput import bulk_rate, new_environment
from monitoring.log_shipping.shipper import lag
from slipway.settings import Settings

OUTAGE_SECONDS, RATE = 180.0, 1_000
LEAST = 0.6
_BULK_RUNS = 3
_BEFORE_SECONDS = 15.0
_CAUGHT_UP_SECONDS = events.SEGMENT_SECONDS + 4.0  # a segment is shipped one pass after it is complete
_MOST_SECONDS = 900.0


@dataclass(frozen=True)
class CatchingUp:
    """Seconds from the node's return until no event waited longer than usual, and the documents of that time."""

    seconds: float
    documents: int

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds


def outage(node: OwnNode, seconds: float = OUTAGE_SECONDS, arriving: int = RATE) -> Iterator[Figure]:
    """Measure the rate after an outage, then the bulk rate of the node after its start."""
    found = caught_up(node, seconds, arriving)
    theirs = median(_restarted_bulk_rate(node, found.documents, arriving) for _ in range(_BULK_RUNS))
    ratio = found.rate / theirs
    name = f"catching up, after an outage of {seconds:.0f} s with {arriving:,} events/s arriving"
    measured = f"{ratio:.2f} × of the bulk rate ({found.rate:,.0f}/s of {theirs:,.0f}/s), in {found.seconds:.0f} s"
    yield Figure(name, measured, f"≥ {LEAST:g} ×", ratio >= LEAST)


def caught_up(node: OwnNode, seconds: float, rate: int) -> CatchingUp:
    """Stop the node for so many seconds while a shipper runs and events arrive, and wait until it has caught up."""
    with TemporaryDirectory() as temporary:
        home, name = Path(temporary), new_environment()
        environment = node.environment(home, name)
        stream = node.set_up(environment)
        with shipping(environment), events.arriving(home / "var" / "spool", name, rate, most=10**9):
            time.sleep(_BEFORE_SECONDS)
            before = node.count(stream)
            node.stop()
            time.sleep(seconds)
            node.start()
            began = time.perf_counter()
            _wait_until_caught_up(environment)
            took = time.perf_counter() - began
            documents = node.count(stream) - before
    return CatchingUp(took, documents)


def _restarted_bulk_rate(node: OwnNode, number: int, rate: int) -> float:
    """Restart the node, and send it so many events while others arrive in a spool that nobody ships."""
    node.stop()
    node.start()
    with TemporaryDirectory() as temporary, events.arriving(Path(temporary), new_environment(), rate, most=10**9):
        return bulk_rate(node, number)


def _wait_until_caught_up(environment: Mapping[str, str]) -> None:
    settings, deadline = Settings(var=Path(environment["SLIPWAY_VAR"])), time.monotonic() + _MOST_SECONDS
    while lag(settings)[events.NAME] > _CAUGHT_UP_SECONDS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the shipper did not catch up in {_MOST_SECONDS:.0f} s")
        time.sleep(0.2)
