"""Rate limits: fixed windows, counted in this process, or in Redis for all workers together (shared_limits).

The `limits` library reads the rates and counts in Redis. Its counter in memory takes locks and starts a thread every
10 ms under load, 10 µs a request where a dictionary of the event loop's own takes less than one. Without Redis each
worker counts by itself: a key that talks to four workers may come to four times its rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

MOST_WINDOWS = 10_000
_LINES = b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"


class Limit(NamedTuple):
    """So many requests in a window of so many seconds; `key` names the counter."""

    key: str
    amount: int
    seconds: int

    @classmethod
    def of(cls, rate: str, who: str) -> Limit:
        """
        >>> Limit.of("100/minute", "ann")[1:3]
        (100, 60)
        """
        import limits  # takes 50 ms, which a server without keys and its supervisor need not wait for

        item = limits.parse(rate)
        return cls(item.key_for(who), item.amount, item.get_expiry())


class WindowCount(msgspec.Struct, frozen=True):
    """Requests in this window, this one too, and the seconds until it ends."""

    limit: Limit
    used: int
    reset: float

    @property
    def lines(self) -> bytes:
        """The standard headers, as HTTP/1.1 has them."""
        amount, used = self.limit.amount, self.used
        return _LINES % (amount, amount - used if amount > used else 0, math.ceil(self.reset))


class FixedWindowCounter:
    """The windows of this process: a dictionary, rid of those that ended when it grows."""

    def __init__(self) -> None:
        self._windows: dict[str, list[float]] = {}  # key: [count, end]

    def hit(self, limit: Limit, now: float) -> WindowCount:
        window = self._window(limit, now)
        window[0] += 1
        return WindowCount(limit, int(window[0]), window[1] - now)

    def take(self, limit: Limit, now: float) -> WindowCount | None:
        """`hit`, where this request is within the rate; else None, and nothing is counted."""
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
        if len(self._windows) >= MOST_WINDOWS:
            self._windows = {name: window for name, window in self._windows.items() if window[1] > now}
        self._windows[key] = window = [0, now + seconds]
        return window
