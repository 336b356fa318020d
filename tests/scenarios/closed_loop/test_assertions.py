"""What the loop concludes from what it sees; the loop itself is run by `.ci/run`."""

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
from scenarios.closed_loop.assertions import OVERRIDDEN, STORY
from scenarios.closed_loop.observer import CHAMPION, Moment
from slipway.clients.prefect import FlowRun
from slipway.settings import settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(kind: str = "none", worse: bool = False, **more: Any) -> dict[str, Any]:
    auc = {"value": 0.8, "low": 0.7, "high": 0.9, "worse": worse}
    return {"verdict": kind, "drifted": [], "quality": {"labelled": 900, "metrics": {"roc_auc": auc}}, **more}


def test_all_is_well_only_without_drift_and_with_labels_that_say_so() -> None:
    assert assertions.well("loans", verdict(), "now").held
    assert not assertions.well("loans", verdict("drift"), "now").held
    assert not assertions.well("loans", verdict(worse=True), "now").held
    assert not assertions.well("loans", {**verdict(), "quality": None}, "now").held
    assert not assertions.well("loans", {**verdict(), "quality": {"labelled": 3, "metrics": {}}}, "now").held


def test_a_change_is_found_by_the_answers_not_by_the_features() -> None:
    assert assertions.found("loans", verdict(worse=True)).held
    assert not assertions.found("loans", verdict("drift")).held


def test_too_early_is_refused_for_too_few_labels_and_for_nothing_else() -> None:
    few = {"outcome": "refused", "reason": "Too few labelled rows: 900 are new, at least 3,000 are needed."}
    assert assertions.refused("loans", verdict(retraining=few), 3000).held
    assert not assertions.refused("loans", verdict(retraining={**few, "reason": "Paused by ann."}), 3000).held
    assert not assertions.refused("loans", verdict(retraining={**few, "outcome": "started"}), 3000).held
    assert not assertions.refused("loans", verdict(retraining=None), 3000).held


def test_one_run_is_neither_none_nor_two() -> None:
    run = FlowRun("a", "COMPLETED", "", 20.0)
    assert [assertions.one_run("loans", [run] * count).held for count in (0, 1, 2)] == [False, True, False]


@pytest.mark.parametrize(("champions", "held"), [(["1", "2"], True), (["1", "", "2"], False)])
def test_nobody_was_ever_without_a_champion(champions: list[str], held: bool) -> None:
    moments = [Moment(NOW + timedelta(seconds=at), CHAMPION, value) for at, value in enumerate(champions)]
    assert assertions.never_without("loans", SimpleNamespace(moments=moments)).held is held


def test_one_caller_without_an_answer_is_one_too_many() -> None:
    callers = SimpleNamespace(sent=100, failures=0, versions={"1": 100})
    assert assertions.answered("loans", callers).held
    assert not assertions.answered("loans", SimpleNamespace(sent=100, failures=1, versions={"1": 99})).held
    assert not assertions.answered("loans", SimpleNamespace(sent=0, failures=0, versions={})).held


def history(actions: tuple[str, ...], problems: list[str]) -> dict[str, Any]:
    return {"events": [{"action": action} for action in actions], "problems": problems}


def test_the_history_must_tell_all_of_it_in_order_and_be_verified() -> None:
    between = (*(action for told in STORY for action in (told, "verdict")), OVERRIDDEN)
    assert assertions.told("loans", history(between, [])).held
    assert not assertions.told("loans", history(between[:-1], [])).held
    assert not assertions.told("loans", history(between, ["version 2 was altered"])).held
    shown = assertions.told("loans", history(STORY[:2] + STORY[3:], []))
    assert (shown.held, shown.seen) == (
        False,
        f"{len(STORY) - 1} lines, no retraining.started where it should be; verified",
    )


class Receiver(BaseHTTPRequestHandler):
    """A webhook that takes what comes with its secret, as Alertmanager sends it."""

    taken: list[dict[str, Any]] = []
    believes_everybody = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        knows = self.headers["Authorization"] == "Bearer ours"
        if knows:
            self.taken.append(body)
        self.send_response(202 if knows or self.believes_everybody else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Receiver, "taken", [])
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_storm_of_alerts_must_be_taken_and_a_forged_one_not(webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alert_storm.storm(webhook, "loans", "ours").held
    assert len(Receiver.taken) == alert_storm.COUNT
    assert {alert["labels"]["usecase"] for body in Receiver.taken for alert in body["alerts"]} == {"loans"}
    assert not alert_storm.storm(webhook, "loans", "theirs").held
    monkeypatch.setattr(Receiver, "believes_everybody", True)
    assert not alert_storm.storm(webhook, "loans", "ours").held


def test_a_receiver_that_is_not_there_took_nothing() -> None:
    assert not alert_storm.storm("http://127.0.0.1:9", "loans", "ours").held


def test_a_loop_that_checked_nothing_did_not_hold() -> None:
    assert not ClosedLoop("errors", settings().usecases, print).result.held
