"""Alerts that fire, from Alertmanager's API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from monitoring.telemetry.alerts import MOST_SHOWN, firing
from tests.support.doubles.http_double import Answer, HttpDouble, Refused


class Alertmanager(HttpDouble):
    """Alertmanager whose alerts are `alerts`."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[dict] = []
        self.content: bytes | None = None
        self.query: dict[str, str] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        if path != "/api/v2/alerts":
            raise Refused(404, "NOT_FOUND", path)
        self.query = query
        return self.alerts if self.content is None else self.content


@pytest.fixture
def alertmanager() -> Iterator[Alertmanager]:
    with Alertmanager() as double:
        yield double


def alert(name: str, severity: str = "warning", minute: int = 0, **annotations: str) -> dict:
    return {
        "labels": {"alertname": name, "severity": severity, "usecase": "loans"},
        "annotations": annotations,
        "startsAt": f"2026-01-31T13:{minute:02}:00.123+01:00",
        "status": {"state": "active"},
        "fingerprint": name,
    }


def test_the_most_severe_come_first_and_the_watchdog_is_no_alert(alertmanager: Alertmanager) -> None:
    alertmanager.alerts = [
        alert("Watchdog", "none"),
        alert("Later", minute=5),
        alert("Odd", "", minute=1),
        alert("Drift", minute=1, summary="Inputs drift.", runbook_url="https://docs.example.com/SlipwayDrift"),
        alert("Down", "critical", minute=9),
    ]
    found = firing(alertmanager.uri, "")
    assert [one.name for one in found.shown] == ["Down", "Drift", "Later", "Odd"]
    assert (found.total, found.usecases, found.error) == (4, {"loans": 4}, "")
    drift = found.shown[1]
    assert (drift.summary, drift.since) == ("Inputs drift.", "2026-01-31T12:01:00Z")
    assert drift.runbook == "https://docs.example.com/SlipwayDrift"
    assert alertmanager.query == {"active": "true", "silenced": "false", "inhibited": "false"}


def test_alerts_of_one_namespace_are_asked_for(alertmanager: Alertmanager) -> None:
    assert firing(alertmanager.uri, "team-a").total == 0
    assert alertmanager.query["filter"] == 'namespace="team-a"'


@pytest.mark.parametrize("link", ["javascript:alert(1)", "docs/runbooks/SlipwayDrift.md", "//evil", "data:text/html,x"])
def test_a_runbook_that_is_no_web_address_is_no_link(alertmanager: Alertmanager, link: str) -> None:
    alertmanager.alerts = [alert("Drift", runbook_url=link)]
    assert firing(alertmanager.uri, "").shown[0].runbook == ""


def test_thousands_of_alerts_are_counted_and_some_are_shown(alertmanager: Alertmanager) -> None:
    alertmanager.alerts = [alert(f"A{i}", summary="x" * 1_000) for i in range(1_000)]
    found = firing(alertmanager.uri, "")
    assert (len(found.shown), found.total) == (MOST_SHOWN, 1_000)
    assert max(len(one.summary) for one in found.shown) <= 300


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"[{}]", b"[1]", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_alertmanager_is_an_error_and_not_no_alert(alertmanager: Alertmanager, content: bytes) -> None:
    alertmanager.content = content
    found = firing(alertmanager.uri, "")
    assert (found.shown, found.total) == ([], 0)
    assert found.error.startswith(f"Alertmanager at {alertmanager.uri} does not respond: ")


def test_an_alertmanager_that_is_away_or_elsewhere_is_an_error_without_its_password(alertmanager: Alertmanager) -> None:
    found = firing("http://ann:secret@127.0.0.1:9", "")
    assert found.error.startswith("Alertmanager at http://127.0.0.1:9 does not respond")
    assert "status 404" in firing(f"{alertmanager.uri}/elsewhere", "").error


def test_an_alert_without_a_use_case_is_of_none(alertmanager: Alertmanager) -> None:
    alertmanager.content = json.dumps([{"labels": {"alertname": "Up"}, "startsAt": "2026-01-31T12:00:00Z"}]).encode()
    found = firing(alertmanager.uri, "")
    assert (found.total, found.usecases, found.shown[0].usecase) == (1, {}, "")
