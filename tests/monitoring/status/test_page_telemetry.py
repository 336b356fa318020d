"""Traffic, budgets, runs and alerts on the status page, and what it says where they are not known."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.status_page.many_models import board
from monitoring.release.reconciler import Reconciled
from monitoring.status import dashboard
from monitoring.status.app import application
from monitoring.telemetry.alerts import Alert, FiringAlerts
from monitoring.telemetry.collector import Telemetry, TelemetryCollector, UseCaseTelemetry
from monitoring.telemetry.history import MINUTES, Budgets, LastHour
from monitoring.telemetry.last_runs import Run
from slipway.contracts.objectives import Objectives
from slipway.settings import settings
from tests.monitoring.status.test_app import Client, serving

ALERT = Alert("SlipwayDrift", "warning", "loans", "Drift in <b>age</b>.", "2026-01-31T12:00:00Z", "https://docs/x")
HOUR = LastHour([None] * 58 + [2.0, 1.0], [None] * 58 + [0.001, 0.0], [None] * 58 + [0.002, 0.08])
KNOWN = UseCaseTelemetry(
    HOUR,
    Budgets(0.42, -0.5, 7200.0),
    Objectives(),
    [Run("train", "failed", "2026-01-31T12:00:00.000Z", 0.2, {"passed": 7, "failed": 1})],
)


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server on a port of this machine is polled."""
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()


def shown(**more: object) -> dashboard.Dashboard:
    return dashboard.gather(settings(), [serving()], telemetry=Telemetry(**more))


def page(**more: object) -> str:
    return client(shown(**more)).get("/").text


def client(found: dashboard.Dashboard) -> Client:
    return Client(application(settings(), lambda: found, lambda: True))


def test_traffic_budgets_and_runs_are_shown_with_their_figures() -> None:
    text = page(usecases={"loans": KNOWN})
    for part in (
        "1 / s</dd>",
        "0 %</dd>",
        "80 ms</dd>",
        "latency, p99",
        "error budget <strong>42 %</strong> left",
        '<span class="bad">latency budget <strong>-50 %</strong> left',
        "of 30 days with 99.9 % successful, 99 % within 50 ms; counted for 2 h",
        'last run of <code>train</code>: <strong class="off">failed</strong>',
        "after 200 ms; gates: 7 passed, 1 failed",
    ):
        assert part in text, part


def test_each_sparkline_has_a_text_and_a_line_where_the_objective_was_missed() -> None:
    text = page(usecases={"loans": KNOWN})
    labels = re.findall(r'<svg class="spark"[^>]* role="img" aria-label="([^"]*)"', text)
    assert labels == [
        "requests in the last hour: from 1 / s to 2 / s",
        "failed requests in the last hour: from 0 % to 0.1 %",
        "latency in the last hour: from 2 ms to 80 ms",
    ]
    assert text.count("<line ") == 1


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (UseCaseTelemetry(), "Traffic is not measured yet."),
        (UseCaseTelemetry(LastHour([None] * MINUTES, [], [])), "Traffic is not measured yet."),
        (UseCaseTelemetry(LastHour([0.0] * MINUTES, [], [])), "No requests in the last hour."),
        (UseCaseTelemetry(objectives=Objectives()), "budgets untouched: no requests yet"),
        (UseCaseTelemetry(), "No verdict yet"),
        (UseCaseTelemetry(), "No canary. No decision on retraining. No pipeline run is recorded."),
    ],
)
def test_what_is_missing_is_said(known: UseCaseTelemetry, words: str) -> None:
    assert words in page(usecases={"loans": known})


def test_without_labels_the_quality_is_not_known() -> None:
    found = board(1)
    assert "No labels yet" not in client(found).get("/").text
    verdict = {**found.usecases[0].verdict, "quality": None}  # type: ignore[dict-item]
    without = replace(found, usecases=[replace(found.usecases[0], verdict=verdict)])
    assert "No labels yet, so the quality is not known." in client(without).get("/").text


@pytest.mark.parametrize(
    ("alerts", "words", "summary"),
    [
        (None, "no Alertmanager is set (<code>SLIPWAY_ALERTMANAGER_URL</code>)", ""),
        (FiringAlerts([], error="It is <away>."), "Which alerts fire is not known. It is &lt;away&gt;.", ""),
        (FiringAlerts([]), "No alert fires.", "no alerts firing"),
        (FiringAlerts([ALERT], 1), "Drift in &lt;b&gt;age&lt;/b&gt;.", "1 alert firing"),
        (FiringAlerts([ALERT], 1), '<a href="#model-loans">loans</a>', "1 alert firing"),
        (FiringAlerts([ALERT], 1), '<a class="chip bad" href="#alerts">1 alert</a>', "1 alert firing"),
        (FiringAlerts([ALERT], 1), '<a href="https://docs/x">runbook of SlipwayDrift</a>', "1 alert firing"),
        (FiringAlerts([ALERT] * 2, 300), "and 298 more", "300 alerts firing"),
        (FiringAlerts([replace(ALERT, usecase="gone")], 1), "</strong> gone ", "1 alert firing"),
    ],
)
def test_alerts_are_shown_or_why_they_are_not(alerts: FiringAlerts | None, words: str, summary: str) -> None:
    text = page(alerts=alerts)
    assert words in text
    assert f'role="status">{summary}</p>' in text


def test_problems_of_telemetry_are_shown_once_above_the_models() -> None:
    text = page(problems=["Prometheus at http://p does not respond: refused."])
    assert text.count("Prometheus at http://p does not respond") == 1


def test_everything_is_in_the_json_too() -> None:
    found = client(shown(usecases={"loans": KNOWN}, alerts=FiringAlerts([ALERT], 1))).get("/api/status").json()
    assert found["alerts"]["shown"][0]["name"] == "SlipwayDrift"
    telemetry = found["usecases"][0]["telemetry"]
    assert telemetry["hour"]["requests"][-3:] == [None, 2.0, 1.0]
    assert (telemetry["budgets"]["availability"], telemetry["objectives"]["latency_ms"]) == (0.42, 50.0)
    assert telemetry["runs"][0]["outcome"] == "failed"


def test_a_full_page_brings_all_it_needs_and_names_all_its_parts() -> None:
    text = client(board(4)).get("/").text
    sources = re.findall(r'<(?:script|img|link|source|iframe)[^>]*(?:src|href)="([^"]*)"', text)
    assert {source.startswith("/static/") for source in sources} == {True}
    assert not re.search(r"<style|<script(?![^>]*src=)|\son\w+=|\sstyle=|@import", text)
    ids = Counter(re.findall(r'\sid="([^"]+)"', text))
    assert [one for one, times in ids.items() if times > 1] == []
    named = re.findall(r'(?:aria-labelledby|for)="([^"]+)"|href="#([^"]+)"', text)
    assert {name for pair in named for name in pair if name} <= ids.keys()


def test_servers_that_are_set_are_among_the_parts_without_their_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_URL", "http://ann:secret@127.0.0.1:9/")
    monkeypatch.setenv("SLIPWAY_ALERTMANAGER_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    collector = TelemetryCollector(settings(), lambda: ("loans",))
    collector.once()
    found = client(dashboard.gather(settings(), [Reconciled("loans", {}, [])], telemetry=collector.latest))
    parts = {part["name"]: part for part in found.get("/api/status").json()["parts"]}
    assert (parts["prometheus"]["url"], parts["prometheus"]["ok"]) == ("http://127.0.0.1:9", False)
    assert "alertmanager" in parts
    assert "secret" not in found.get("/").text
