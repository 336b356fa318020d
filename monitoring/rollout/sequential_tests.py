"""Sequential tests that are valid at every poll: bounds that hold at all sample sizes at once.

Acting on them as soon as they are conclusive, with a poll every few seconds, is wrong with probability `alpha` at most.
All functions take numbers or arrays of them, which numpy treats alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_PRIOR = 0.5  # Beta(1/2, 1/2): tight for small shares, which errors are
_HALVINGS = 40


class Sample(NamedTuple):
    """`n` values between 0 and 1, and their sum."""

    n: ArrayLike
    total: ArrayLike


class Interval(NamedTuple):
    low: ArrayLike
    high: ArrayLike


def mean(sample: Sample, alpha: float) -> Interval:
    """Bounds of the mean of values between 0 and 1, from their number and sum alone.

    The likelihood ratio of 0-1 values against a mean p, mixed over a Beta prior (Robbins 1970, "Statistical methods
    related to the law of the iterated logarithm"; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic
    confidence sequences", proposition 7), is a martingale where p is true, and a supermartingale for values between 0
    and 1, since each factor is convex in the value. By Ville's inequality it ever exceeds 1/alpha with probability
    alpha at most: the p for which it does not are the interval.
    """
    from scipy.special import betaln, xlog1py, xlogy

    n, total = np.broadcast_arrays(np.asarray(sample.n, float), np.asarray(sample.total, float))
    rest = np.maximum(n - total, 0.0)
    most = np.log(1 / alpha) - betaln(_PRIOR + total, _PRIOR + rest) + betaln(_PRIOR, _PRIOR)
    estimate = np.where(n > 0, total / np.maximum(n, 1), 0.5)

    def edge(outside: float) -> np.ndarray:
        """By halving: the ratio falls towards the estimate from both sides."""
        out, inside = np.full(n.shape, outside), estimate
        for _ in range(_HALVINGS):
            middle = (out + inside) / 2
            holds = -xlogy(total, middle) - xlog1py(rest, -middle) < most
            out, inside = np.where(holds, out, middle), np.where(holds, middle, inside)
        return out

    # At 0 and 1 themselves the ratio is infinite, but for a sample that holds nothing else.
    return Interval(np.where(total > 0, edge(0.0), 0.0), np.where(rest > 0, edge(1.0), 1.0))


def difference(new: Sample, old: Sample, alpha: float) -> Interval:
    """Bounds of how much larger the mean of `new` is: each one's bounds at half of alpha."""
    ours, theirs = mean(new, alpha / 2), mean(old, alpha / 2)
    return Interval(np.subtract(ours.low, theirs.high), np.subtract(ours.high, theirs.low))


def shift(distance: ArrayLike, new: ArrayLike, old: ArrayLike, alpha: float) -> Interval:
    """Bounds of the Kolmogorov-Smirnov distance of two distributions, from that of `new` and `old` values.

    Each empirical distribution function is off by its radius at most, at all points and sample sizes (Howard and
    Ramdas 2022, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification",
    corollary 2: the Dvoretzky-Kiefer-Wolfowitz inequality for all times).
    """
    apart = radius(new, alpha / 2) + radius(old, alpha / 2)
    return Interval(np.maximum(np.subtract(distance, apart), 0.0), np.minimum(np.add(distance, apart), 1.0))


def radius(n: ArrayLike, alpha: float) -> np.ndarray:
    """How far an empirical distribution function of `n` values is off; 1 where there are none."""
    count = np.maximum(np.asarray(n, float), 1.0)
    wide = 0.85 * np.sqrt((np.log(np.log(np.e * count)) + 0.8 * np.log(1612 / alpha)) / count)
    return np.where(np.asarray(n) > 0, np.minimum(wide, 1.0), 1.0)


def distance(new: np.ndarray, old: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of two samples; 0 where one is empty.

    Between two values of the smaller sample its distribution is constant and the other one rises, so they are furthest
    apart just before a value or at it. Values that are in order already are sorted in one pass.
    """
    if not len(new) or not len(old):
        return 0.0
    few, many = sorted((np.sort(new, kind="stable"), np.sort(old, kind="stable")), key=len)
    at, before = (
        np.searchsorted(few, few, side) / len(few) - np.searchsorted(many, few, side) / len(many)
        for side in ("right", "left")
    )
    return float(max(np.abs(at).max(), np.abs(before).max()))
