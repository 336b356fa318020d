"""History of predictions in memory: minutes of the last hour, and days for error budgets.

Its size is bounded by the number of use cases. Times are those of a monotonic clock, so that no traffic appears or
vanishes when the wall clock is set.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from monitoring.telemetry.exposition import Counts
from slipway.contracts.objectives import Objectives

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MINUTES = 60
_MOST_DAYS = 90  # the longest window of an objective


@dataclass(frozen=True)
class LastHour:
    """Predictions by minute, oldest first: requests a second, the share that failed, and seconds of the latency.

    The latency is at the quantile of the objective. None is a minute without a measurement, or without a request.
    """

    requests: list[float | None]
    failed: list[float | None]
    latency: list[float | None]
    source: str = "watch"

    @property
    def is_measured(self) -> bool:
        return any(rate is not None for rate in self.requests)

    @property
    def has_traffic(self) -> bool:
        return any(self.requests)


@dataclass(frozen=True)
class Budgets:
    """Shares of the error budgets that are left: 1 is untouched, 0 used up, below that the objective is missed.

    `seconds` is how long the watch has counted; None where Prometheus has the window of the objective.
    """

    availability: float | None
    latency: float | None
    seconds: float | None = None


class UseCaseHistory:
    """Counts of one use case, of all its servers together, from `began` on."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._minutes: dict[int, Counts] = {}
        self._days: dict[int, Counts] = {}

    def add(self, since: float, until: float, counts: Counts) -> None:
        """Spread what was counted between two scrapes evenly over the minutes between them."""
        for minute, share in _shares(since, until):
            self._minutes.setdefault(minute, Counts()).add(counts, share)
        without_buckets = Counts(counts.requests, counts.failed, counts.slow)
        self._days.setdefault(int(until // DAY), Counts()).add(without_buckets)
        oldest = int(until // MINUTE) - MINUTES - 1
        self._minutes = {minute: kept for minute, kept in self._minutes.items() if minute >= oldest}
        self._days = {day: kept for day, kept in self._days.items() if day > until // DAY - _MOST_DAYS}

    def last_hour(self, until: float, quantile: float) -> LastHour:
        """The complete minutes before that time; the first one, in which counting began, is not complete."""
        end = int(until // MINUTE)
        found = [self._minute(minute) for minute in range(end - MINUTES, end)]
        return LastHour(
            [counts.requests / MINUTE if counts else None for counts in found],
            [counts.failed / counts.requests if counts and counts.requests else None for counts in found],
            [estimate_quantile(counts.buckets, quantile) if counts else None for counts in found],
        )

    def budgets(self, now: float, objectives: Objectives) -> Budgets | None:
        """What is left by the requests of the objective's window, as far as they were counted; None without any."""
        total = Counts()
        for day, counts in self._days.items():
            if day > now // DAY - objectives.window_days:
                total.add(counts)
        if not total.requests:
            return None
        return Budgets(
            1 - total.failed / total.requests / (1 - objectives.availability),
            1 - total.slow / total.requests / (1 - objectives.latency_quantile),
            now - self.began,
        )

    def _minute(self, minute: int) -> Counts | None:
        return self._minutes.get(minute) if minute * MINUTE >= self.began else None


class ServiceHistory:
    """Histories by use case, from what servers have counted since their starts."""

    def __init__(self) -> None:
        self.usecases: dict[str, UseCaseHistory] = {}
        self._last: dict[str, tuple[float, Mapping[str, Counts]]] = {}

    def record(self, address: str, at: float, counts: Mapping[str, Counts]) -> None:
        """Record what a server has counted; its first counts are where the next ones start from."""
        since, before = self._last.get(address, (at, {}))
        self._last[address] = at, counts
        for usecase, now in counts.items():
            history = self.usecases.setdefault(usecase, UseCaseHistory(at))
            if usecase in before:
                history.add(since, at, now.increase_since(before[usecase]))

    def forget(self, usecases: Collection[str], now: float) -> None:
        """Forget all other use cases, and the servers that have been away for an hour."""
        self.usecases = {name: history for name, history in self.usecases.items() if name in usecases}
        self._last = {address: last for address, last in self._last.items() if now - last[0] < HOUR}


def estimate_quantile(buckets: Mapping[float, float], quantile: float) -> float | None:
    """Estimate a quantile by interpolation in its bucket, as `histogram_quantile` of Prometheus does; None if empty."""
    bounds = sorted(bound for bound in buckets if math.isfinite(bound))
    rank = quantile * max(buckets.values(), default=0.0)
    if not rank or not bounds:
        return None
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            return lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return lower


def _shares(since: float, until: float) -> Iterator[tuple[int, float]]:
    """The minutes between two times, and which share of that time each has."""
    if until <= since:
        yield int(until // MINUTE), 1.0
        return
    for minute in range(int(since // MINUTE), int(until // MINUTE) + 1):
        start, end = max(since, minute * MINUTE), min(until, (minute + 1) * MINUTE)
        if end > start:
            yield minute, (end - start) / (until - since)
