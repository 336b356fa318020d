"""Back-off: the time until a server that could not take something is asked again, longer each time, and never equal."""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import SystemRandom

_random = SystemRandom()


def pause(attempt: int, first: float, most: float) -> float:
    """Choose the seconds after an attempt, from 0: they double, and half of them is random.

    Shippers that failed together would otherwise come back together.
    """
    return min(most, first * 2 ** min(attempt, 30)) * _random.uniform(0.5, 1.0)


class Backoff:
    """Back-off between passes: `remaining` is above 0 while the server is to be left alone."""

    def __init__(self, first: float = 1.0, most: float = 8.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._most, self._clock = first, most, clock
        self._failures = 0
        self._until = 0.0

    @property
    def remaining(self) -> float:
        return max(0.0, self._until - self._clock())

    def failed(self) -> None:
        self._until = self._clock() + pause(self._failures, self._first, self._most)
        self._failures += 1

    def succeeded(self) -> None:
        self._failures, self._until = 0, 0.0
