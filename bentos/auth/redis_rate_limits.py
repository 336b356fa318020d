"""Rate limits in Redis for all workers together, by the `limits` library; imported only where a URL is set."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable

from limits.aio.storage import RedisStorage

from bentos.auth.rate_limits import MAX_WINDOWS, FixedWindowCounter, Limit, WindowCount
from slipway.texts import one_line

REDIS_SECONDS = 0.25  # a slower Redis counts as one that is down
RETRY_SECONDS = 5.0
_log = logging.getLogger("slipway.serving")


class RedisWindowCounter:
    """Fixed-window counters in Redis. While Redis fails or answers no counts, `local` counts; Redis is tried again.

    `now` is monotonic; each change between the two is logged.
    """

    def __init__(self, url: str, local: FixedWindowCounter) -> None:
        options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
        self._storage = RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", **options)
        self._local = local
        self._ends: dict[str, float] = {}
        self._retry_at = 0.0

    async def hit(self, limit: Limit, now: float) -> WindowCount:
        """Count a request, also one over the limit."""
        count = None if now < self._retry_at else await self._asked(self._count(limit, 1, now), now)
        return count or self._local.hit(limit, now)

    async def charge(self, limit: Limit, rows: int, now: float) -> WindowCount:
        """Count the rows of a request if they are all within the limit."""
        count = None if now < self._retry_at else await self._asked(self._count_within(limit, rows, now), now)
        return count or self._local.charge(limit, rows, now)

    async def _asked(self, count: Awaitable[WindowCount], now: float) -> WindowCount | None:
        """Return what Redis counts; None where it does not respond, which is logged, and is tried again later."""
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                found = await count
        except Exception as error:  # whatever is at the URL may answer anything: no request fails of it
            self._retry_at = now + RETRY_SECONDS
            reason = getattr(error, "storage_error", None) or error
            _log.warning(
                "rate limits: Redis does not respond (%s); each worker counts by itself for %.0f s.",
                one_line(str(reason)) or type(reason).__name__,
                RETRY_SECONDS,
            )
            return None
        if self._retry_at:
            self._retry_at = 0.0
            _log.info("rate limits: Redis answers again; all workers count together.")
        return found

    async def _count_within(self, limit: Limit, rows: int, now: float) -> WindowCount:
        """Count rows unless a look at the window shows that they do not fit. Of two workers' that fit alone and not
        together, the later are counted, too, and refused: the limit holds."""
        used: object = await self._storage.get(limit.key)
        if not isinstance(used, int) or used < 0:
            raise _no_count(used)
        if used + rows > limit.amount:
            return WindowCount(limit, used, await self._reset(limit, now), refused=True)
        return await self._count(limit, rows, now)

    async def _count(self, limit: Limit, amount: int, now: float) -> WindowCount:
        used: object = await self._storage.incr(limit.key, limit.seconds, amount)
        if not isinstance(used, int) or used < amount:
            raise _no_count(used)
        if used == amount:
            self._ends[limit.key] = now + limit.seconds
        return WindowCount(limit, used, await self._reset(limit, now), used > limit.amount)

    async def _reset(self, limit: Limit, now: float) -> float:
        """Return the seconds until the window ends, which another worker may have opened."""
        end = self._ends.get(limit.key, 0.0)
        if end <= now:
            end = self._ends[limit.key] = now + await self._seconds_left(limit)
        if len(self._ends) > MAX_WINDOWS:
            self._ends = {key: until for key, until in self._ends.items() if until > now}
        return max(end - now, 0.0)

    async def _seconds_left(self, limit: Limit) -> float:
        left = await self._storage.get_expiry(limit.key) - time.time()  # to which the library has added the wall clock
        return min(max(left, 0.0), limit.seconds)


def _no_count(received: object) -> ValueError:
    return ValueError(f"a count was expected, {type(received).__name__} {received!r} received")
