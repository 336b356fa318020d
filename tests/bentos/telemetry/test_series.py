"""Hostile requests add no series to what the service exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.bentos.conftest import Client
from tests.support import bundles

ROW = bundles.ROWS["loans"][0]
PREDICT = "/v1/models/loans/predict"


def series(client: Client) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(client.get("/metrics").body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples}


def attack(client: Client, number: int) -> None:
    """Send requests of every kind with names and values that no other attack has."""
    requests: list[tuple[str, str, Any, dict[str, str]]] = [
        (f"BREW{number}", PREDICT, {}, {}),
        ("POST", f"{PREDICT}?version={number}", {"instances": [ROW]}, {"x-version": str(number)}),
        ("POST", PREDICT, {"instances": [{**ROW, f"feature_{number}": 1}]}, {}),
        ("POST", PREDICT, {"instances": [{**ROW, "job": f"job {number}"}]}, {"user-agent": f"client/{number}"}),
        ("POST", PREDICT, {"instances": [{**ROW, "age": 1000 + number}]}, {"x-request-id": f"request-{number}"}),
        ("POST", PREDICT, {f"instances_{number}": []}, {"traceparent": f"00-{number:032x}-{number:016x}-01"}),
        ("POST", PREDICT, {"instances": [ROW]}, {"authorization": f"Bearer key-{number}"}),
        ("POST", PREDICT, {"instances": [ROW]}, {"content-type": f"text/{number}"}),
        ("POST", "/v1/models/loans/feedback", {f"label_{number}": number}, {}),
        ("GET", f"/v1/models/loans/schema/{number}", {}, {}),
        ("GET", f"/docs/{number}%00", {}, {"host": f"host-{number}.example"}),
    ]
    for method, path, body, headers in requests:
        client.request(method, path, json.dumps(body).encode(), {"content-type": "application/json"} | headers)


def test_hostile_requests_add_no_series(start_client: Callable[..., Client]) -> None:
    client = start_client()
    attack(client, 0)
    series(client)  # a scrape is counted as well
    before = series(client)
    for number in range(1, 20):
        attack(client, number)
    assert series(client) ^ before == set()
