"""Tally: counts kept in memory, and brought to prometheus_client now and then.

Its counters write to files that all workers share, 2 to 3 µs each time; a prediction counts five things. What a worker
that is killed has counted since the last time is lost to the metrics; the log has it.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


class BufferedCounter:
    """A counter's child."""

    def __init__(self, child: Any) -> None:
        self._child = child
        self._kept = _Kept()

    def inc(self, number: float = 1) -> None:
        self._kept.keep(number)

    def flush(self) -> None:
        if number := sum(self._kept.taken()):
            self._child.inc(number)


class BufferedHistogram:
    """A histogram's child. `observe` is a list's own `append`: nothing is cheaper."""

    def __init__(self, child: Any) -> None:
        # prometheus_client adds to a bucket one value at a time only; a test watches these names.
        self._buckets, self._sum, self._bounds = child._buckets, child._sum, np.array(child._upper_bounds)
        self._kept = _Kept()
        self.observe = self._kept.keep

    def flush(self) -> None:
        values = self._kept.taken()
        if not values:
            return
        numbers = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._bounds))
        for bucket in numbers.nonzero()[0]:
            self._buckets[bucket].inc(int(numbers[bucket]))
        self._sum.inc(sum(values))


class _Kept:
    """Numbers that any thread keeps, and one at a time takes: a list's `append` and its slices are whole in CPython."""

    def __init__(self) -> None:
        self._numbers: list[float] = []
        self._lock = threading.Lock()
        self.keep = self._numbers.append

    def taken(self) -> list[float]:
        with self._lock:
            taken = self._numbers[:]
            del self._numbers[: len(taken)]
        return taken
