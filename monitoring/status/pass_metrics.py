"""Metrics of the watch loop itself: when its last complete pass ended, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class PassMetrics(Collector):
    """The last pass that raised nothing; no series before there is one."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure a pass, which is the block; one that raises is not complete."""
        started = time.monotonic()
        yield
        self._last = time.time(), time.monotonic() - started

    def collect(self) -> Iterator[Metric]:
        ended = GaugeMetricFamily(
            "slipway_watch_pass_timestamp_seconds", "Time at which the last complete pass over the use cases ended."
        )
        seconds = GaugeMetricFamily("slipway_watch_pass_seconds", "Duration of the last complete pass.")
        if self._last:
            ended.add_metric([], self._last[0])
            seconds.add_metric([], self._last[1])
        yield from (ended, seconds)
