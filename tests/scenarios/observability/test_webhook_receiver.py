"""Receiver of webhooks: what Alertmanager delivered, to whom, and when."""

from __future__ import annotations

import time

from scenarios.observability.webhook_receiver import FIRING, RESOLVED, WebhookReceiver
from slipway.clients import http


def message(receiver: str, status: str, *alerts: str) -> dict:
    return {
        "receiver": receiver,
        "alerts": [{"status": status, "labels": {"alertname": alert}} for alert in alerts],
    }


def test_alerts_are_kept_with_their_receiver_and_time():
    began = time.time()
    with WebhookReceiver() as webhook:
        for receiver, status in (("pages", FIRING), ("tickets", FIRING), ("pages", RESOLVED)):
            assert http.request("POST", webhook.url, document=message(receiver, status, "A", "B")).status == 200
        assert webhook.wait("A", FIRING, began, 1)
        assert not webhook.wait("A", FIRING, time.time(), 0.01)
        assert not webhook.wait("C", FIRING, began, 0.01)
        found = webhook.deliveries("B", FIRING, began)
    assert [(one.receiver, one.labels) for one in found] == [
        (name, {"alertname": "B"}) for name in ("pages", "tickets")
    ]
    assert all(began <= one.at <= time.time() for one in found)


def test_of_burn_rates_those_of_the_shortest_window_are_kept():
    webhook = WebhookReceiver()
    windows = ({"window": "3d"}, {"window": "1h"}, {})
    alerts = [{"status": FIRING, "labels": {"alertname": "A", **window}} for window in windows]
    webhook.accept({"receiver": "pages", "alerts": alerts})
    assert [one.labels.get("window") for one in webhook.deliveries("A", FIRING, 0.0)] == ["1h", None]
