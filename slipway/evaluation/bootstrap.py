"""Confidence intervals by the percentile bootstrap (Efron 1979) over rows, seeded: equal rows give equal intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from slipway.evaluation.metrics import Metric, Scored

ROUNDS = 1000
LEVEL = 0.95
_WORK = 10_000_000  # rows drawn in all: a million rows get fewer rounds, and need fewer
_SEED = 7


class Interval(NamedTuple):
    """A metric's value on the rows themselves with its 95 % interval; all None if the rows do not define it."""

    value: float | None
    low: float | None
    high: float | None


def intervals(rows: Scored, metrics: Mapping[str, Metric], rounds: int = ROUNDS) -> dict[str, Interval]:
    """Compute each metric with its interval, all over the same resamples."""
    draws = [rows.at(drawn) for drawn in _draws(len(rows), rounds=rounds)]
    return {
        name: _interval(metric.compute(rows), [metric.compute(draw) for draw in draws])
        for name, metric in metrics.items()
    }


def difference(new: Scored, old: Scored, metric: Metric) -> Interval:
    """Compute how much better `new` is than `old` on the same rows, paired: a resample takes the same rows of both."""

    def compute(drawn: np.ndarray) -> float:
        return metric.sign * (metric.compute(new.at(drawn)) - metric.compute(old.at(drawn)))

    return _resampled(len(new), compute)


def fall(now: Scored, before: Scored, metric: Metric) -> Interval:
    """Compute how much better one model is on the rows `now` than on other rows, `before`; each are resampled alone."""
    drawn = zip(_draws(len(now)), _draws(len(before), _SEED + 1), strict=False)
    compute = metric.compute
    return _interval(
        metric.sign * (compute(now) - compute(before)),
        [metric.sign * (compute(now.at(rows)) - compute(before.at(others))) for rows, others in drawn],
    )


def mean(values: np.ndarray) -> Interval:
    """Compute the mean of one value a row [n]; of flags, their share."""
    return _resampled(len(values), lambda drawn: float(values[drawn].mean()))


def against_all(mask: np.ndarray, rows: Scored, metric: Metric) -> Interval:
    """Compute how much better the metric is on a slice (a mask) than on all rows; the slice is resampled with them."""

    def compute(drawn: np.ndarray) -> float:
        inside = drawn[mask[drawn]]
        if not len(inside):
            return float("nan")
        return metric.sign * (metric.compute(rows.at(inside)) - metric.compute(rows.at(drawn)))

    return _resampled(len(rows), compute)


def _resampled(count: int, compute: Callable[[np.ndarray], float]) -> Interval:
    return _interval(compute(np.arange(count)), [compute(drawn) for drawn in _draws(count)])


def _draws(count: int, seed: int = _SEED, rounds: int = ROUNDS) -> Iterator[np.ndarray]:
    """Draw indices of rows with repetitions [count], `rounds` times; fewer for very many rows, but at least 100."""
    generator = np.random.default_rng(seed)
    for _ in range(int(np.clip(_WORK // count, min(100, rounds), rounds))):
        yield generator.integers(0, count, count)


def _interval(value: float, resampled: list[float]) -> Interval:
    if not np.isfinite(value):
        return Interval(None, None, None)
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
