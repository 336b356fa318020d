"""Faults: every alert of the rules is provoked by one, and Prometheus is asked when it fired."""

from __future__ import annotations

from scenarios.observability.prometheus_client import Prometheus, Span
from scenarios.observability.scenario import WATCHDOG, every_fault
from scenarios.observability.shortened_rules import pending_seconds
from slipway.local.monitoring_servers import RULES


def test_each_alert_is_provoked_by_one_fault():
    provoked = [alert for fault in every_fault() for alert in fault.alerts]
    assert sorted([*provoked, WATCHDOG]) == sorted(pending_seconds(RULES))


def test_each_fault_has_words_of_its_own():
    words = [fault.what for fault in every_fault()]
    assert len(set(words)) == len(words)


def test_an_alert_that_fires_again_has_two_spans(monkeypatch):
    values = [[at, "1"] for at in (10.5, 11.5, 12.6, 20, 21)]
    monkeypatch.setattr(Prometheus, "instant", lambda *_: [{"values": [[11, "1"], [30, "1"]]}, {"values": values}])
    assert Prometheus("http://nowhere").spans("A", 0, 30) == [Span(10.5, 12.6), Span(20, 21)]
