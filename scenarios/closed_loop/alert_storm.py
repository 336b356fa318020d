"""Storm of alerts, in the format of Alertmanager's webhook (version 4), and one with a forged secret."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from scenarios.harness.checks import Check
from slipway.clients import http
from slipway.errors import ServiceError

COUNT = 100
_AT_ONCE = 10
_ACCEPTED, _REJECTED = (200, 202, 204), (401, 403)


def check_alert_storm(status_url: str, name: str, secret: str) -> Check:
    """Check that COUNT alerts at once are all accepted, and that one with another secret is rejected."""
    url, body = f"{status_url}/alerts", json.dumps(_document(name)).encode()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        statuses = Counter(pool.map(lambda number: _post(url, body, secret), range(COUNT)))
    forged = _post(url, body, f"not {secret}")
    accepted = sum(statuses[status] for status in _ACCEPTED)
    observed = f"{accepted} of {COUNT} accepted; one with another secret gets {forged}"
    return Check(name, "a storm of alerts", accepted == COUNT and forged in _REJECTED, observed)


def _document(name: str) -> dict:
    labels = {"alertname": "SlipwayQuality", "usecase": name, "retraining": "quality", "severity": "warning"}
    now = datetime.now(UTC).isoformat()
    alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": now, "fingerprint": "5110"}
    return {
        "version": "4",
        "groupKey": f"{{}}:{{usecase={name!r}}}",
        "status": "firing",
        "receiver": "slipway",
        "groupLabels": {"usecase": name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.invalid",
        "truncatedAlerts": 0,
        "alerts": [alert],
    }


def _post(url: str, body: bytes, secret: str) -> int:
    """Post one alert and return the status of the response, 0 if there is none."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
    try:
        return http.request("POST", url, content=body, headers=headers, timeout=60).status
    except ServiceError:
        return 0
