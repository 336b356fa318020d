"""Client of Prometheus: when an alert fired."""

from __future__ import annotations

from scenarios.harness.prometheus_client import Prometheus, Span


def test_an_alert_that_fires_again_has_two_spans(monkeypatch):
    values = [[at, "1"] for at in (10.5, 11.5, 12.6, 20, 21)]
    monkeypatch.setattr(Prometheus, "instant", lambda *_: [{"values": [[11, "1"], [30, "1"]]}, {"values": values}])
    assert Prometheus("http://nowhere").spans("A", 0, 30) == [Span(10.5, 12.6), Span(20, 21)]


def test_of_burn_rates_the_shortest_window_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(Prometheus, "instant", lambda _, expression, at: asked.append(expression) or [])
    assert Prometheus("http://nowhere").spans("A", 0, 30) == []
    assert asked == ['ALERTS{alertname="A", alertstate="firing", window=~"|1h"}[30s]']


def test_an_alert_has_fired_if_any_of_its_windows_has(monkeypatch):
    asked = []
    found = [{"values": [[5, "1"]]}]
    monkeypatch.setattr(Prometheus, "instant", lambda _, *query: asked.append(query) or found)
    assert Prometheus("http://nowhere").has_fired("A", 0, 9.5)
    assert asked == [('ALERTS{alertname="A", alertstate="firing"}[10s]', 9.5)]
