"""Tally: counts kept in memory, and brought to prometheus_client now and then.

Its counters write to files that all workers share, 2 to 3 µs each time; a prediction counts five things. What a worker
that is killed has counted since the last time is lost to the metrics; the log has it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Any


class Count:
    """A counter's child."""

    def __init__(self, child: Any) -> None:
        self._child = child
        self._lock = threading.Lock()
        self._number = 0.0

    def inc(self, number: float = 1) -> None:
        with self._lock:
            self._number += number

    def flush(self) -> None:
        with self._lock:
            number, self._number = self._number, 0.0
        if number:
            self._child.inc(number)


class Observations:
    """A histogram's child: how many values fell into each bucket, and their sum."""

    def __init__(self, child: Any) -> None:
        # prometheus_client adds to a bucket one value at a time only; a test watches these names.
        self._buckets, self._sum = child._buckets, child._sum
        self._bounds = list(child._upper_bounds)
        self._lock = threading.Lock()
        self._clear()

    def observe(self, value: float) -> None:
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._numbers[bucket] += 1
            self._total += value

    def flush(self) -> None:
        with self._lock:
            numbers, total = self._numbers, self._total
            self._clear()
        if not any(numbers):
            return
        for bucket, number in zip(self._buckets, numbers, strict=True):
            if number:
                bucket.inc(number)
        self._sum.inc(total)

    def _clear(self) -> None:
        self._numbers = [0] * len(self._bounds)
        self._total = 0.0
