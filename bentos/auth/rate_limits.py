"""Limits of requests and of rows by fixed-window counters, in this process or in Redis (redis_rate_limits).

The `limits` library parses rates and counts in Redis. Its counter in memory takes locks and starts a thread every 10 ms
under load: 10 µs a request, where a dictionary of the event loop takes less than one. Without Redis each worker counts
by itself: a key that is used with four workers may reach four times its rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

MAX_WINDOWS = 10_000
REQUESTS, ROWS = "requests", "rows"
_LINES = {
    REQUESTS: b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n",
    ROWS: b"ratelimit-rows-limit: %d\r\nratelimit-rows-remaining: %d\r\nratelimit-rows-reset: %d\r\n",
}


class Limit(NamedTuple):
    """A number (`amount`) of requests or rows (`unit`) in a window of `seconds`; `key` names the counter."""

    key: str
    amount: int
    seconds: int
    unit: str = REQUESTS

    @classmethod
    def of(cls, rate: str, who: str, unit: str = REQUESTS) -> Limit:
        """Parse a rate for the client `who`.

        >>> Limit.of("100/minute", "ann")[1:3]
        (100, 60)
        """
        import limits  # takes 50 ms, for which a server without keys and the supervisor need not wait

        item = limits.parse(rate)
        return cls(item.key_for(*([who] if unit == REQUESTS else [unit, who])), item.amount, item.get_expiry(), unit)


class WindowCount(msgspec.Struct, frozen=True):
    """What is used of a window, and the seconds until it ends.

    Requests are counted also where they are `refused`; rows are not, so that a smaller request may still be within.
    """

    limit: Limit
    used: int
    reset: float
    refused: bool = False

    @property
    def lines(self) -> bytes:
        """Header lines of HTTP/1.1: the standard headers for requests, and similar ones for rows."""
        limit, used = self.limit, self.used
        amount = limit.amount
        reset = min(math.ceil(self.reset), limit.seconds)  # the difference of floats may be a little above it
        return _LINES[limit.unit] % (amount, amount - used if amount > used else 0, reset)


class FixedWindowCounter:
    """Fixed-window counters of this process: a dictionary, which drops ended windows when it is full.

    `now` is monotonic: a wall clock that is set back would keep a window open for as long as the step.
    """

    def __init__(self) -> None:
        self._windows: dict[str, list[float]] = {}  # key: [count, end]

    def hit(self, limit: Limit, now: float) -> WindowCount:
        """Count a request, also one over the limit."""
        window = self._window(limit, now)
        window[0] += 1
        return WindowCount(limit, int(window[0]), window[1] - now, window[0] > limit.amount)

    def charge(self, limit: Limit, rows: int, now: float) -> WindowCount:
        """Count the rows of a request if they are all within the limit."""
        window = self._window(limit, now)
        refused = window[0] + rows > limit.amount
        if not refused:
            window[0] += rows
        return WindowCount(limit, int(window[0]), window[1] - now, refused)

    def hit_within(self, limit: Limit, now: float) -> WindowCount | None:
        """Count a request that is within the limit; return None for another one, which is not counted."""
        window = self._window(limit, now)
        if window[0] >= limit.amount:
            return None
        window[0] += 1
        return WindowCount(limit, int(window[0]), window[1] - now)

    def _window(self, limit: Limit, now: float) -> list[float]:
        window = self._windows.get(limit.key)
        if window is None or window[1] <= now:
            window = self._open(limit.key, now, limit.seconds)
        return window

    def _open(self, key: str, now: float, seconds: float) -> list[float]:
        if len(self._windows) >= MAX_WINDOWS:
            self._windows = {name: window for name, window in self._windows.items() if window[1] > now}
        self._windows[key] = window = [0, now + seconds]
        return window
