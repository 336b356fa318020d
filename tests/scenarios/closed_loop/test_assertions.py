"""Checks of the closed loop on given observations; the loop itself is run by `.ci/run`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from scenarios.closed_loop import ClosedLoop, alert_storm, assertions
from scenarios.closed_loop.assertions import EXPECTED_ACTIONS, OVERRIDDEN
from scenarios.closed_loop.observer import CHAMPION, Moment
from slipway.clients.prefect import FlowRun
from slipway.settings import settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(kind: str = "none", worse: bool = False, **more: Any) -> dict[str, Any]:
    auc = {"value": 0.8, "low": 0.7, "high": 0.9, "worse": worse}
    return {"verdict": kind, "drifted": [], "quality": {"labelled": 900, "metrics": {"roc_auc": auc}}, **more}


def test_healthy_needs_no_drift_and_labels_that_show_it() -> None:
    assert assertions.check_healthy("loans", verdict(), "now").held
    assert not assertions.check_healthy("loans", verdict("drift"), "now").held
    assert not assertions.check_healthy("loans", verdict(worse=True), "now").held
    assert not assertions.check_healthy("loans", {**verdict(), "quality": None}, "now").held
    assert not assertions.check_healthy("loans", {**verdict(), "quality": {"labelled": 3, "metrics": {}}}, "now").held


def test_concept_drift_is_detected_by_the_quality_not_by_the_features() -> None:
    assert assertions.check_drift_detected("loans", verdict(worse=True)).held
    assert not assertions.check_drift_detected("loans", verdict("drift")).held


def test_an_early_retraining_is_refused_for_too_few_labels_and_for_nothing_else() -> None:
    few = {"outcome": "refused", "reason": "Too few labelled rows: 900 are new, at least 3,000 are needed."}
    assert assertions.check_retraining_refused("loans", verdict(retraining=few), 3000).held
    assert not assertions.check_retraining_refused(
        "loans", verdict(retraining={**few, "reason": "Paused by ann."}), 3000
    ).held
    assert not assertions.check_retraining_refused(
        "loans", verdict(retraining={**few, "outcome": "started"}), 3000
    ).held
    assert not assertions.check_retraining_refused("loans", verdict(retraining=None), 3000).held


def test_one_run_is_neither_none_nor_two() -> None:
    run = FlowRun("a", "COMPLETED", "", 20.0)
    assert [assertions.check_one_run("loans", [run] * count).held for count in (0, 1, 2)] == [False, True, False]


@pytest.mark.parametrize(("champions", "held"), [(["1", "2"], True), (["1", "", "2"], False)])
def test_there_must_be_a_champion_at_every_moment(champions: list[str], held: bool) -> None:
    moments = [Moment(NOW + timedelta(seconds=at), CHAMPION, value) for at, value in enumerate(champions)]
    assert assertions.check_always_a_champion("loans", SimpleNamespace(moments=moments)).held is held


def test_one_failed_request_fails_the_check() -> None:
    callers = SimpleNamespace(sent=100, failures=0, versions={"1": 100})
    assert assertions.check_all_answered("loans", callers).held
    assert not assertions.check_all_answered("loans", SimpleNamespace(sent=100, failures=1, versions={"1": 99})).held
    assert not assertions.check_all_answered("loans", SimpleNamespace(sent=0, failures=0, versions={})).held


def history(actions: tuple[str, ...], problems: list[str]) -> dict[str, Any]:
    return {"events": [{"action": action} for action in actions], "problems": problems}


def test_the_history_must_be_complete_in_order_and_verified() -> None:
    between = (*(action for expected in EXPECTED_ACTIONS for action in (expected, "verdict")), OVERRIDDEN)
    assert assertions.check_history("loans", history(between, [])).held
    assert not assertions.check_history("loans", history(between[:-1], [])).held
    assert not assertions.check_history("loans", history(between, ["version 2 was altered"])).held
    shown = assertions.check_history("loans", history(EXPECTED_ACTIONS[:2] + EXPECTED_ACTIONS[3:], []))
    assert (shown.held, shown.observed) == (
        False,
        f"{len(EXPECTED_ACTIONS) - 1} lines, no retraining.started where it should be; verified",
    )


class Receiver(BaseHTTPRequestHandler):
    """Webhook of Alertmanager that accepts requests with its secret."""

    accepted: list[dict[str, Any]] = []
    accepts_all = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        authentic = self.headers["Authorization"] == "Bearer ours"
        if authentic:
            self.accepted.append(body)
        self.send_response(202 if authentic or self.accepts_all else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Receiver, "accepted", [])
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_storm_of_alerts_must_be_accepted_and_a_forged_one_not(webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alert_storm.check_alert_storm(webhook, "loans", "ours").held
    assert len(Receiver.accepted) == alert_storm.COUNT
    assert {alert["labels"]["usecase"] for body in Receiver.accepted for alert in body["alerts"]} == {"loans"}
    assert not alert_storm.check_alert_storm(webhook, "loans", "theirs").held
    monkeypatch.setattr(Receiver, "accepts_all", True)
    assert not alert_storm.check_alert_storm(webhook, "loans", "ours").held


def test_a_webhook_that_is_down_accepted_nothing() -> None:
    assert not alert_storm.check_alert_storm("http://127.0.0.1:9", "loans", "ours").held


def test_a_loop_that_checked_nothing_did_not_hold() -> None:
    assert not ClosedLoop("errors", settings().usecases, print).result.held
