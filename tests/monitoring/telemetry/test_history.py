"""What the watch remembers of traffic: an hour of minutes, and days for error budgets, from scraped counters."""

from __future__ import annotations

import math

import pytest

from monitoring.telemetry.exposition import Counts
from monitoring.telemetry.history import DAY, HOUR, MINUTES, ServiceHistory, estimate_quantile
from slipway.contracts.objectives import Objectives

FAST = {0.01: 1.0, 0.1: 1.0, math.inf: 1.0}
SERVER = "http://a"


def counted(requests: float, failed: float = 0, slow: float = 0) -> Counts:
    return Counts(requests, failed, slow, {bound: requests * share for bound, share in FAST.items()})


def scraped(history: ServiceHistory, *counts: tuple[float, float], server: str = SERVER) -> None:
    """Record what a server of the use case `loans` had counted at these times."""
    for at, requests in counts:
        history.record(server, at, {"loans": counted(requests)})


def rates(history: ServiceHistory, until: float) -> list[float | None]:
    return history.usecases["loans"].last_hour(until, 0.99).requests


def test_requests_of_a_minute_are_a_rate_and_what_was_before_the_first_scrape_is_not_counted() -> None:
    history = ServiceHistory()
    scraped(history, *((15.0 * k, 1_000 + 30.0 * k) for k in range(13)))
    assert rates(history, 180)[-3:] == [2, 2, 2]
    assert rates(history, 180)[:-3] == [None] * (MINUTES - 3)


def test_the_minute_in_which_counting_began_is_not_complete() -> None:
    history = ServiceHistory()
    scraped(history, *((20.0 + 20 * k, 20.0 * k) for k in range(9)))
    assert rates(history, 180)[-3:] == [None, 1, 1]


def test_all_servers_are_added() -> None:
    history = ServiceHistory()
    scraped(history, (0, 0), (60, 60), (120, 120))
    scraped(history, (0, 500), (60, 680), (120, 860), server="http://b")
    assert rates(history, 120)[-2:] == [4, 4]


@pytest.mark.parametrize(("after", "rate"), [(0, 0), (30, 0.5), (59, 59 / 60)])
def test_a_counter_that_began_again_at_0_loses_nothing_and_invents_nothing(after: float, rate: float) -> None:
    history = ServiceHistory()
    scraped(history, (0, 60), (60, 120), (120, after))
    assert rates(history, 120)[-2:] == [1, rate]


def test_what_was_counted_while_no_scrape_succeeded_is_spread_over_that_time() -> None:
    history = ServiceHistory()
    scraped(history, (0, 0), (60, 60), (300, 300), (360, 300))
    assert rates(history, 360)[-6:] == [1, 1, 1, 1, 1, 0]


def test_a_server_that_was_away_for_hours_makes_no_peak() -> None:
    history = ServiceHistory()
    scraped(history, (0, 0), (10 * HOUR, 36_000))
    assert rates(history, 10 * HOUR)[-2:] == pytest.approx([1, 1])
    history.forget({"loans"}, 12 * HOUR)
    scraped(history, (12 * HOUR, 99_000), (12 * HOUR + 60, 99_000))
    assert rates(history, 12 * HOUR + 60)[-1] == 0


def test_a_use_case_that_appears_at_a_known_server_begins_with_its_next_scrape() -> None:
    history = ServiceHistory()
    history.record(SERVER, 0, {})
    scraped(history, (60, 5_000), (120, 5_060))
    assert rates(history, 120)[-2:] == [None, 1]


def test_without_requests_there_is_no_share_of_failures_and_no_latency() -> None:
    history = ServiceHistory()
    history.record(SERVER, 0, {"loans": counted(0)})
    history.record(SERVER, 60, {"loans": counted(0)})
    history.record(SERVER, 120, {"loans": counted(10, failed=1)})
    found = history.usecases["loans"].last_hour(120, 0.99)
    assert (found.requests[-2:], found.failed[-2:]) == ([0, 10 / 60], [None, 0.1])
    assert found.latency[-2:] == [None, pytest.approx(0.0099)]
    assert found.is_measured and found.has_traffic


def test_a_budget_is_what_failures_of_the_window_leave() -> None:
    history, objectives = ServiceHistory(), Objectives(availability=0.99, latency_quantile=0.9, window_days=7)
    history.record(SERVER, 0, {"loans": counted(0)})
    assert history.usecases["loans"].budgets(0, objectives) is None
    history.record(SERVER, 60, {"loans": counted(1_000, failed=5, slow=20)})
    found = history.usecases["loans"].budgets(60, objectives)
    assert found
    assert (found.availability, found.latency, found.seconds) == (pytest.approx(0.5), pytest.approx(0.8), 60)
    history.record(SERVER, 8 * DAY, {"loans": counted(2_000, failed=45, slow=20)})
    found = history.usecases["loans"].budgets(8 * DAY, objectives)
    assert found
    assert (found.availability, found.latency) == (pytest.approx(-3), pytest.approx(1)), "the first day is over"


def test_memory_is_bounded_by_the_use_cases_that_are_watched() -> None:
    history = ServiceHistory()
    for k in range(3_500):  # 97 days, and a new server each time
        names = {"loans", f"passing_{k}"}
        history.record(SERVER, 2400.0 * k, {name: counted(float(k)) for name in names})
        history.record(f"http://{k}", 2400.0 * k, {"loans": counted(1)})
        history.forget({"loans"}, 2400.0 * k)
    loans = history.usecases["loans"]
    assert history.usecases.keys() == {"loans"}
    assert len(history._last) <= 6
    assert len(loans._minutes) <= MINUTES + 2
    assert len(loans._days) <= 90


@pytest.mark.parametrize(
    ("buckets", "quantile", "expected"),
    [  # as promtool evaluates histogram_quantile
        ({0.1: 50, 0.2: 100, math.inf: 100}, 0.5, 0.1),
        ({0.1: 50, 0.2: 100, math.inf: 100}, 0.75, 0.15),
        ({0.1: 0, 0.2: 100, math.inf: 100}, 0.9, 0.19),
        ({0.1: 50, 0.2: 50, math.inf: 100}, 0.99, 0.2),
        ({0.1: 0, math.inf: 0}, 0.99, None),
        ({}, 0.99, None),
        ({math.inf: 3}, 0.5, None),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets: dict, quantile: float, expected: float | None) -> None:
    assert estimate_quantile(buckets, quantile) == (expected if expected is None else pytest.approx(expected))
