"""Faults: every alert of the rules is provoked by one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from scenarios.harness.prometheus_client import Prometheus
from scenarios.harness.shortened_rules import alert_rules
from scenarios.harness.shortened_servers import ShortenedServers
from scenarios.observability.report import FirstDelivery
from scenarios.observability.scenario import WATCHDOG, Observability, every_fault
from scenarios.observability.webhook_receiver import Delivery
from slipway.local import LocalServices
from slipway.local.monitoring_servers import RULES

ROOT = Path(__file__).resolve().parents[3]


def test_each_alert_is_provoked_by_one_fault():
    provoked = [alert for fault in every_fault() for alert in fault.alerts]
    assert sorted([*provoked, WATCHDOG]) == sorted({labels["alertname"] for labels, _ in alert_rules(RULES)})


def test_each_fault_has_words_of_its_own():
    words = [fault.what for fault in every_fault()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("samples", "since"),
    [
        ([(100.4, 100), (101.4, 100), (102.4, 100)], 100.4),  # to the millisecond of its evaluation
        ([(100.4, 100), (101.4, 101), (102.4, 101)], 101.4),  # it was cleared between two evaluations
        ([(100.4, 100), (130.4, 130), (131.4, 130)], 130.4),
        ([(100.4, 60), (101.4, 60)], 60),  # before the fault
        ([(100.0, 100)], 100),
    ],
)
def test_the_expression_holds_since_the_evaluation_that_prometheus_has_noted(monkeypatch, samples, since):
    asked = []

    def instant(_, expression, at):
        asked.append((expression, at))
        return [{"values": [[at, str(value)] for at, value in samples]}]

    monkeypatch.setattr(Prometheus, "instant", instant)
    labels = {"alertname": "SlipwayDrift", "summary": 'the "best"\\'}
    assert Prometheus("http://nowhere").active_since(labels, 99.5, 132.25) == since
    assert asked == [('ALERTS_FOR_STATE{alertname="SlipwayDrift", summary="the \\"best\\"\\\\"}[33s]', 132.25)]


def test_of_an_alert_without_samples_nothing_is_known(monkeypatch):
    monkeypatch.setattr(Prometheus, "instant", lambda *_: [])
    assert Prometheus("http://nowhere").active_since({"alertname": "A"}, 0, 1) is None


@pytest.mark.parametrize(("earlier", "waits"), [(False, 0.5), (True, 5.0)])
def test_an_alert_that_fired_shortly_before_may_wait_for_the_interval_of_its_group(monkeypatch, var, earlier, waits):
    asked = []
    monkeypatch.setattr(Prometheus, "has_fired", lambda _, *times: asked.append(times) or earlier)
    monkeypatch.setattr(Prometheus, "active_since", lambda *_: 1000.25)
    servers = ShortenedServers(LocalServices(var, var, {}), {}, {"prometheus": 9})
    observability = Observability(ROOT / "usecases", print)
    observability._deployment = SimpleNamespace(prometheus=Prometheus("http://nowhere"), servers=servers)
    labels = {"alertname": "SlipwayDrift", "severity": "warning", "retraining": "drift"}
    first = observability._first_delivery(Delivery(1004.0, "retraining", labels, "firing"), 1000.0)
    assert first == FirstDelivery(active=0.25, pending=0.0, group_wait=waits, arrived=4.0)
    assert asked == [("SlipwayDrift", 100.0, 999.75)]
