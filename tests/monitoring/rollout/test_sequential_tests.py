from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, ks_2samp

from monitoring.rollout.sequential_tests import Sample, difference, distance, mean, radius, shift

RUNS, LOOKS, ALPHA = 500, 1000, 0.05
MOST = 45  # of 500 runs: more than 0.05 of them would be more only once in 10,000 such tests


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5])
def test_the_true_mean_is_outside_at_any_time_no_more_often_than_alpha(share: float) -> None:
    totals = np.cumsum(np.random.default_rng(1).random((RUNS, LOOKS)) < share, axis=1)
    found = mean(Sample(np.arange(1, LOOKS + 1), totals), ALPHA)
    assert np.sum(((found.low > share) | (found.high < share)).any(axis=1)) <= MOST


@pytest.mark.slow
def test_so_it_is_for_any_values_between_0_and_1() -> None:
    values = np.random.default_rng(2).beta(0.3, 0.9, (RUNS, LOOKS))
    found = mean(Sample(np.arange(1, LOOKS + 1), values.cumsum(axis=1)), ALPHA)
    assert np.sum(((found.low > 0.25) | (found.high < 0.25)).any(axis=1)) <= MOST


def test_bounds_for_a_single_test_fail_when_tested_repeatedly() -> None:
    """The fixed-sample interval (Clopper-Pearson), tested repeatedly, fails: the reason for the sequential one."""
    n = np.arange(10, LOOKS + 1, 10)  # even so seldom
    totals = np.cumsum(np.random.default_rng(1).random((RUNS, LOOKS)) < 0.5, axis=1)[:, n - 1]
    low = beta.ppf(ALPHA / 2, totals, n - totals + 1)
    high = beta.ppf(1 - ALPHA / 2, totals + 1, n - totals)
    assert np.sum(((low > 0.5) | (high < 0.5)).any(axis=1)) > 2 * MOST


def test_bounds_close_in_and_contain_the_mean() -> None:
    sizes = np.array([1, 10, 100, 1000, 10_000])
    found = mean(Sample(sizes, 0.3 * sizes), ALPHA)
    assert (np.diff(found.high - found.low) < 0).all()
    assert ((found.low <= 0.3) & (found.high >= 0.3)).all()
    assert found.high[-1] - found.low[-1] < 0.04


@pytest.mark.parametrize(("n", "total", "low", "high"), [(0, 0, 0, 1), (5, 0, 0, 0.585), (5, 5, 0.415, 1)])
def test_few_values_say_little(n: int, total: int, low: float, high: float) -> None:
    found = mean(Sample(n, total), ALPHA)
    assert (float(found.low), float(found.high)) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_a_number_and_an_array_of_it_are_bounded_alike() -> None:
    alone, among = mean(Sample(50, 7), ALPHA), mean(Sample(np.array([9, 50]), np.array([1, 7])), ALPHA)
    assert (float(alone.low), float(alone.high)) == (among.low[1], among.high[1])


@pytest.mark.slow
def test_the_difference_of_equal_means_is_never_shown() -> None:
    rng = np.random.default_rng(3)
    n = np.arange(1, LOOKS + 1)
    new, old = ((rng.random((RUNS, LOOKS)) < 0.2).cumsum(axis=1) for _ in range(2))
    assert np.sum((difference(Sample(n, new), Sample(n, old), ALPHA).low > 0).any(axis=1)) <= MOST


def test_the_true_distance_is_outside_at_any_time_no_more_often_than_alpha() -> None:
    rng, sizes = np.random.default_rng(4), np.unique(np.geomspace(10, 2000, 30).astype(int))
    wrong = 0
    for _ in range(100):
        new, old = rng.random(2000) ** 2, rng.random(2000)  # a quarter apart, at a quarter
        found = [shift(distance(new[:n], old[:n]), n, n, ALPHA) for n in sizes]
        wrong += any(one.low > 0.25 or one.high < 0.25 for one in found)
    assert wrong <= 12


def test_the_distance_is_the_fields() -> None:
    rng = np.random.default_rng(5)
    new, old = rng.integers(0, 20, 300) / 20, rng.normal(0.5, 0.2, 500)
    for some, others in ((new, old), (old, new), (new, new), (new, old + 10), (new + 10, old), (new[:1], new)):
        assert distance(some, others) == pytest.approx(ks_2samp(some, others).statistic)
    assert distance(new, np.empty(0)) == 0.0


def test_the_radius_shrinks_and_is_1_where_nothing_is_known() -> None:
    assert float(radius(0, ALPHA)) == 1.0
    assert (np.diff(radius(np.array([100, 1000, 10_000]), ALPHA)) < 0).all()
