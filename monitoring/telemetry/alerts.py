"""Alerts that fire, from Alertmanager's API, version 2.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta, Struct, field

from slipway.clients.http import HttpClient, without_login
from slipway.errors import ServiceError
from slipway.texts import one_line
from slipway.timestamps import iso

TIMEOUT_SECONDS = 5.0
MOST_SHOWN = 100
_SEVERITIES = ("critical", "warning")  # in this order; those without a severity, or another one, come last
_NO_ALERT = "none"  # severity of the watchdog, which always fires


class _Alert(Struct, frozen=True):
    """What is read of an alert of Alertmanager."""

    labels: dict[str, str]
    started: Annotated[datetime, Meta(tz=True)] = field(name="startsAt")
    annotations: dict[str, str] = {}


@dataclass(frozen=True)
class Alert:
    """An alert that fires, and is neither silenced nor inhibited; `runbook` is a web address, or empty."""

    name: str
    severity: str
    usecase: str
    summary: str
    since: str
    runbook: str


@dataclass(frozen=True)
class FiringAlerts:
    """The alerts that fire, the most severe first, at most 100 of `total`; `error` says why they are not known."""

    shown: list[Alert]
    total: int = 0
    error: str = ""

    @property
    def usecases(self) -> dict[str, int]:
        """Number of alerts by use case."""
        return Counter(alert.usecase for alert in self.shown if alert.usecase)


def firing(url: str, namespace: str) -> FiringAlerts:
    """Ask Alertmanager for the alerts of this label `namespace`, or of all. One that is away is in the result."""
    parameters = {"active": "true", "silenced": "false", "inhibited": "false"}
    if namespace:
        parameters["filter"] = f'namespace="{namespace}"'
    client = HttpClient(url, timeout=TIMEOUT_SECONDS)
    try:
        response = client.request("GET", f"/api/v2/alerts?{urlencode(parameters)}")
        if not response.ok:
            raise ServiceError(f"status {response.status} {response.reason}".strip())
        found = [_alert(one) for one in response.read(list[_Alert]) if one.labels.get("severity") != _NO_ALERT]
    except ServiceError as error:
        return FiringAlerts([], error=f"Alertmanager at {without_login(url)} does not respond: {error}")
    finally:
        client.close()
    found.sort(key=lambda alert: (_rank(alert.severity), alert.since, alert.name, alert.usecase))
    return FiringAlerts(found[:MOST_SHOWN], len(found))


def _alert(found: _Alert) -> Alert:
    runbook = found.annotations.get("runbook_url", "")
    return Alert(
        name=one_line(found.labels.get("alertname", "")),
        severity=one_line(found.labels.get("severity", "")),
        usecase=one_line(found.labels.get("usecase", "")),
        summary=one_line(found.annotations.get("summary", "")),
        since=iso(found.started, "seconds"),
        runbook=runbook if runbook.startswith(("https://", "http://")) else "",
    )


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
