"""Rate limits by fixed-window counters, in this process or in Redis for all workers (redis_rate_limits).

The `limits` library parses rates and counts in Redis. Its counter in memory takes locks and starts a thread every 10 ms
under load: 10 µs a request, where a dictionary of the event loop takes less than one. Without Redis each worker counts
by itself: a key that is used with four workers may reach four times its rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

MAX_WINDOWS = 10_000
_LINES = b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"


class Limit(NamedTuple):
    """A number of requests (`amount`) in a window of `seconds`; `key` names the counter."""

    key: str
    amount: int
    seconds: int

    @classmethod
    def of(cls, rate: str, who: str) -> Limit:
        """Parse a rate for the client `who`.

        >>> Limit.of("100/minute", "ann")[1:3]
        (100, 60)
        """
        import limits  # takes 50 ms, for which a server without keys and the supervisor need not wait

        item = limits.parse(rate)
        return cls(item.key_for(who), item.amount, item.get_expiry())


class WindowCount(msgspec.Struct, frozen=True):
    """The requests in a window, the current one included, and the seconds until the window ends."""

    limit: Limit
    used: int
    reset: float

    @property
    def lines(self) -> bytes:
        """The standard headers as header lines of HTTP/1.1."""
        amount, used = self.limit.amount, self.used
        return _LINES % (amount, amount - used if amount > used else 0, math.ceil(self.reset))


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
        return WindowCount(limit, int(window[0]), window[1] - now)

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
