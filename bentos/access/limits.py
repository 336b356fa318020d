"""Rate limits: fixed windows, counted in this process, or by the `limits` library in Redis for all workers together.

The library reads the rates, too; its counter in memory takes locks and starts a thread every 10 ms under load, 10 µs a
request where a dictionary of the event loop's own takes less than one. Without Redis each worker counts by itself: a
key that talks to four workers may come to four times its rate.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

import limits
from limits.aio.storage import RedisStorage
from limits.errors import StorageError

REDIS_SECONDS = 0.25  # a slower Redis counts as one that is down
RETRY_SECONDS = 5.0
_MOST_WINDOWS = 10_000
_log = logging.getLogger("slipway.serving")


class Limit(NamedTuple):
    """So many requests in a window of so many seconds; `key` names the counter."""

    key: str
    amount: int
    seconds: int
    text: bytes

    @classmethod
    def of(cls, rate: str, who: str) -> Limit:
        """
        >>> Limit.of("100/minute", "ann")[1:3]
        (100, 60)
        """
        item = limits.parse(rate)
        return cls(item.key_for(who), item.amount, item.get_expiry(), b"%d" % item.amount)


class Count(NamedTuple):
    """Requests in this window, this one too, and the seconds until it ends."""

    used: int
    reset: float


class Windows:
    """The windows of this process: a dictionary, rid of those that ended when it grows."""

    def __init__(self) -> None:
        self._windows: dict[str, list[float]] = {}  # key: [count, end]

    def hit(self, limit: Limit, now: float) -> Count:
        window = self._windows.get(limit.key)
        if window is None or window[1] <= now:
            window = self._open(limit.key, now, limit.seconds)
        window[0] += 1
        return Count(window[0], window[1] - now)

    def take(self, limit: Limit, now: float) -> Count | None:
        """`hit`, where this request is within the rate; else None, and nothing is counted."""
        window = self._windows.get(limit.key)
        if window is not None and window[1] > now and window[0] >= limit.amount:
            return None
        return self.hit(limit, now)

    def _open(self, key: str, now: float, seconds: float) -> list[float]:
        if len(self._windows) >= _MOST_WINDOWS:
            self._windows = {name: window for name, window in self._windows.items() if window[1] > now}
        self._windows[key] = window = [0, now + seconds]
        return window


class SharedWindows:
    """The windows in Redis. Where it fails, `local` counts on, which is said, and Redis is asked again later."""

    def __init__(self, url: str, local: Windows) -> None:
        options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
        self._storage = RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", **options)
        self._local = local
        self._ends: dict[str, float] = {}
        self._again = 0.0

    async def hit(self, limit: Limit, now: float) -> Count:
        if now < self._again:
            return self._local.hit(limit, now)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                count = await self._count(limit, now)
        except (StorageError, TimeoutError, OSError) as error:
            self._again = now + RETRY_SECONDS
            reason = getattr(error, "storage_error", None) or error
            _log.warning(
                "rate limits: Redis does not answer (%s); each worker counts by itself for %.0f s.",
                str(reason) or type(reason).__name__,
                RETRY_SECONDS,
            )
            return self._local.hit(limit, now)
        if self._again:
            self._again = 0.0
            _log.info("rate limits: Redis answers again; all workers count together.")
        return count

    async def _count(self, limit: Limit, now: float) -> Count:
        used = await self._storage.incr(limit.key, limit.seconds)
        end = self._ends.get(limit.key, 0.0)
        if used == 1:
            end = self._ends[limit.key] = now + limit.seconds
        elif end <= now:  # another worker opened this window
            end = self._ends[limit.key] = await self._storage.get_expiry(limit.key)
        if len(self._ends) > _MOST_WINDOWS:
            self._ends = {key: until for key, until in self._ends.items() if until > now}
        return Count(used, max(end - now, 0.0))
