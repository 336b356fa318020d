"""The telemetry of the watch, from simulated scrapes, and servers that are away."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

import pytest

from monitoring.telemetry.collector import Telemetry, TelemetryCollector
from monitoring.telemetry.exposition import Counts, ServiceMetrics
from monitoring.telemetry.scraper import Scrape
from slipway.contracts.objectives import Objectives
from slipway.settings import settings

NOWHERE = "http://127.0.0.1:9"


class Clock:
    """Clock and servers: each scrape finds ten more requests, and one more failure."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def scrape(self, urls: Iterable[str], usecases: Collection[str]) -> list[Scrape]:
        scrapes = self.now / 15
        counts = {name: Counts(10 * scrapes, scrapes) for name in usecases}
        return [Scrape("http://a", ServiceMetrics(counts, dict.fromkeys(usecases, Objectives(availability=0.9))))]


def collected(names: Collection[str] = ("loans",), scrapes: int = 10) -> Telemetry:
    clock = Clock()
    collector = TelemetryCollector(settings(), lambda: names, clock.scrape, clock)
    for place in range(scrapes):
        clock.now = 15.0 * place
        collector.once()
    return collector.latest


def test_traffic_and_budgets_are_what_the_watch_remembers() -> None:
    found = collected().usecases["loans"]
    assert found.hour and found.budgets and found.objectives
    assert found.hour.requests[-2:] == [pytest.approx(40 / 60)] * 2
    assert (found.budgets.availability, found.budgets.seconds) == (pytest.approx(0, abs=1e-9), 135)
    assert found.runs == []


def test_before_the_second_scrape_nothing_is_known() -> None:
    found = collected(scrapes=1).usecases["loans"]
    assert found.hour and not found.hour.is_measured
    assert found.budgets is None


def test_servers_that_are_not_set_are_not_missed() -> None:
    found = collected()
    assert (found.alerts, found.problems) == (None, [])


def test_a_prometheus_that_is_away_is_reported_and_replaced_by_what_the_watch_remembers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_URL", f"{NOWHERE}/")
    monkeypatch.setenv("SLIPWAY_ALERTMANAGER_URL", NOWHERE)
    settings.cache_clear()
    found = collected()
    [problem] = found.problems
    assert problem.startswith(f"Prometheus at {NOWHERE} does not respond: ")
    assert problem.endswith("Traffic is what this page itself has counted.")
    assert found.alerts and found.alerts.error
    hour = found.usecases["loans"].hour
    assert hour and hour.has_traffic


def test_a_scrape_that_hangs_holds_up_nobody() -> None:
    asked, released = threading.Event(), threading.Event()

    def hang(urls: Iterable[str], usecases: Collection[str]) -> list[Scrape]:
        asked.set()
        released.wait(30)
        return []

    collector = TelemetryCollector(settings(), lambda: ("loans",), hang)
    collector.start()
    assert asked.wait(10)
    assert collector.latest == Telemetry()
    collector.stop()
    released.set()


def test_a_failure_is_not_the_last_attempt(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[int] = []
    succeeded = threading.Event()

    def fail_first(urls: Iterable[str], usecases: Collection[str]) -> list[Scrape]:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("odd")
        succeeded.set()
        return []

    monkeypatch.setattr("monitoring.telemetry.collector.SECONDS", 0.01)
    collector = TelemetryCollector(settings(), lambda: ("loans",), fail_first)
    collector.start()
    assert succeeded.wait(10)
    collector.stop()
    assert "telemetry cannot be collected" in caplog.text
