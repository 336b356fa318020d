"""Intervals by the percentile bootstrap (Efron 1979) over rows: seeded, so the same rows give the same interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from slipway.evaluation.metrics import Metric, Scored

ROUNDS = 1000
LEVEL = 0.95
_WORK = 10_000_000  # rows drawn in all: a million rows get fewer rounds, and need fewer
_SEED = 7


class Interval(NamedTuple):
    """`value` on the rows themselves, with its 95 % interval; all None where the rows do not define it."""

    value: float | None
    low: float | None
    high: float | None


def intervals(rows: Scored, metrics: dict[str, Metric]) -> dict[str, Interval]:
    """Each metric with its interval, all over the same resamples."""
    draws = [rows.at(drawn) for drawn in _draws(len(rows))]
    return {
        name: _interval(metric.compute(rows), [metric.compute(draw) for draw in draws])
        for name, metric in metrics.items()
    }


def difference(new: Scored, old: Scored, metric: Metric) -> Interval:
    """How much better `new` is than `old` on the same rows, paired: each resample takes the same rows of both."""

    def compute(drawn: np.ndarray) -> float:
        return metric.sign * (metric.compute(new.at(drawn)) - metric.compute(old.at(drawn)))

    return _resampled(len(new), compute)


def fall(now: Scored, before: Scored, metric: Metric) -> Interval:
    """How much better one model answers the rows `now` than other rows, `before`: each are resampled on their own."""
    drawn = zip(_draws(len(now)), _draws(len(before), _SEED + 1), strict=False)
    compute = metric.compute
    return _interval(
        metric.sign * (compute(now) - compute(before)),
        [metric.sign * (compute(now.at(rows)) - compute(before.at(others))) for rows, others in drawn],
    )


def mean(values: np.ndarray) -> Interval:
    """The mean of one value a row [n]; of flags, their share."""
    return _resampled(len(values), lambda drawn: float(values[drawn].mean()))


def against_all(part: np.ndarray, rows: Scored, metric: Metric) -> Interval:
    """How much better the rows of a slice (a mask) are answered than all rows; the slice is resampled with them."""

    def compute(drawn: np.ndarray) -> float:
        inside = drawn[part[drawn]]
        if not len(inside):
            return float("nan")
        return metric.sign * (metric.compute(rows.at(inside)) - metric.compute(rows.at(drawn)))

    return _resampled(len(rows), compute)


def _resampled(count: int, compute: Callable[[np.ndarray], float]) -> Interval:
    return _interval(compute(np.arange(count)), [compute(drawn) for drawn in _draws(count)])


def _draws(count: int, seed: int = _SEED) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    for _ in range(int(np.clip(_WORK // count, 100, ROUNDS))):
        yield generator.integers(0, count, count)


def _interval(value: float, resampled: list[float]) -> Interval:
    if not np.isfinite(value):
        return Interval(None, None, None)
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
