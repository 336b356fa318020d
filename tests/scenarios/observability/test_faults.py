"""Faults: every alert of the rules is provoked by one, and Prometheus is asked when it fired."""

from __future__ import annotations

import pytest

from scenarios.observability.prometheus_client import Prometheus, Span
from scenarios.observability.scenario import WATCHDOG, every_fault
from scenarios.observability.shortened_rules import alert_rules
from slipway.local.monitoring_servers import RULES


def test_each_alert_is_provoked_by_one_fault():
    provoked = [alert for fault in every_fault() for alert in fault.alerts]
    assert sorted([*provoked, WATCHDOG]) == sorted({labels["alertname"] for labels, _ in alert_rules(RULES)})


def test_each_fault_has_words_of_its_own():
    words = [fault.what for fault in every_fault()]
    assert len(set(words)) == len(words)


def test_an_alert_that_fires_again_has_two_spans(monkeypatch):
    values = [[at, "1"] for at in (10.5, 11.5, 12.6, 20, 21)]
    monkeypatch.setattr(Prometheus, "instant", lambda *_: [{"values": [[11, "1"], [30, "1"]]}, {"values": values}])
    assert Prometheus("http://nowhere").spans("A", 0, 30) == [Span(10.5, 12.6), Span(20, 21)]


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
