"""Buffered metrics: counts kept in memory, and passed to prometheus_client from time to time.

prometheus_client writes to files that all workers share, 2 to 3 µs each time, and a prediction updates five metrics. A
killed worker loses the counts since its last flush; the prediction log has their events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class BufferedCounter:
    """A buffered child of a counter."""

    def __init__(self, child: Any) -> None:
        self._child = child
        self._buffer = _Buffer()

    def inc(self, number: float = 1) -> None:
        self._buffer.append(number)

    def flush(self) -> None:
        if number := sum(self._buffer.take_all()):
            self._child.inc(number)


class BufferedHistogram:
    """A buffered child of a histogram. `observe` is a list's own `append`: nothing is cheaper."""

    def __init__(self, child: Any) -> None:
        # prometheus_client adds to a bucket one value at a time only; a test watches these names.
        self._buckets, self._sum, self._bounds = child._buckets, child._sum, np.array(child._upper_bounds)
        self._buffer = _Buffer()
        self.observe = self._buffer.append
        self.observe_all = self._buffer.extend

    def flush(self) -> None:
        values = self._buffer.take_all()
        if not values:
            return
        numbers = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._bounds))
        for bucket in numbers.nonzero()[0]:
            self._buckets[bucket].inc(int(numbers[bucket]))
        self._sum.inc(sum(values))


class BufferedRequests:
    """The responses of a use case, route and status: one `append` of a duration stands for all metrics of a response.

    `slow` counts those that took longer than `limit()` seconds; it is None where none can be slow.
    """

    def __init__(
        self,
        count: BufferedCounter,
        durations: BufferedHistogram,
        slow: BufferedCounter | None,
        limit: Callable[[], float],
    ) -> None:
        self._count, self._durations, self._slow, self._limit = count, durations, slow, limit
        self._buffer = _Buffer()
        self.add = self._buffer.append

    def flush(self) -> None:
        """Pass the responses on to the metrics, which are flushed after this."""
        seconds = self._buffer.take_all()
        if not seconds:
            return
        self._count.inc(len(seconds))
        self._durations.observe_all(seconds)
        if self._slow is not None:
            limit = self._limit()
            self._slow.inc(sum(each > limit for each in seconds))


class _Buffer:
    """Numbers that any thread appends and one thread at a time takes; in CPython each step here is atomic."""

    def __init__(self) -> None:
        self._numbers: list[float] = []
        self._lock = threading.Lock()
        self.append, self.extend = self._numbers.append, self._numbers.extend

    def take_all(self) -> list[float]:
        with self._lock:
            taken = self._numbers[:]
            del self._numbers[: len(taken)]
        return taken
