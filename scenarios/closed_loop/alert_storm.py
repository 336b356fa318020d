"""A storm of alerts, as Alertmanager sends them to its webhook (version 4), and one that is forged."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from scenarios.demo import Check

COUNT = 100
_AT_ONCE = 10
_TAKEN, _REFUSED = (200, 202, 204), (401, 403)


def storm(status_url: str, name: str, secret: str) -> Check:
    """Whether so many alerts at once are all taken, and one with another secret is not."""
    url, body = f"{status_url}/alerts", json.dumps(_document(name)).encode()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = Counter(pool.map(lambda number: _post(url, body, secret), range(COUNT)))
    forged = _post(url, body, f"not {secret}")
    taken = sum(answers[status] for status in _TAKEN)
    seen = f"{taken} of {COUNT} taken; one with another secret is answered {forged}"
    return Check(name, "a storm of alerts", taken == COUNT and forged in _REFUSED, seen)


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
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
