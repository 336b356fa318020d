"""Client of the local Prometheus: what a query returns, which alerts fire, and when they did."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from slipway.clients import http
from slipway.errors import ServiceError

_Sample = tuple[float, float]  # time, value
STEP = 1
SHORTEST = "1h"


@dataclass(frozen=True)
class Span:
    """Time in which an alert fired, in seconds since 1970."""

    first: float
    last: float


class Prometheus:
    """One Prometheus; every method raises ServiceError if it does not respond."""

    def __init__(self, url: str) -> None:
        self._url = url

    def instant(self, expression: str, at: float) -> list[dict[str, Any]]:
        """Return the series of an expression at a time."""
        return self._query("query", {"query": expression, "time": at})

    def range(self, expression: str, start: float, end: float, step: float = STEP) -> list[dict[str, Any]]:
        """Return the series of an expression over a time."""
        return self._query("query_range", {"query": expression, "start": start, "end": end, "step": step})

    def firing(self) -> set[str]:
        """Name the alerts that fire now, burn rates by their shortest window: the longer ones last for hours."""
        alerts = self._get("alerts")["alerts"]
        alerts = [alert for alert in alerts if alert["labels"].get("window", SHORTEST) == SHORTEST]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def healthy_targets(self) -> set[str]:
        """Name the jobs whose targets have all been scraped."""
        targets = self._get("targets?state=active")["activeTargets"]
        jobs = {target["labels"]["job"] for target in targets}
        return jobs - {target["labels"]["job"] for target in targets if target["health"] != "up"}

    def spans(self, alert: str, start: float, end: float) -> list[Span]:
        """List when an alert fired, in order: with the labels with which it fired first.

        Of burn rates, those by their shortest window: the longer ones last for hours.
        """
        labels = {"alertname": alert, "alertstate": "firing"}
        found = self._samples("ALERTS", labels, start, end, f'window=~"|{SHORTEST}"')
        every = [_spans([at for at, _ in samples]) for samples in found]
        return min(every, key=lambda spans: (spans[0].first, spans[-1].last), default=[])

    def has_fired(self, alert: str, start: float, end: float) -> bool:
        """Whether an alert of that name fired in that time, by whatever window."""
        return bool(self._samples("ALERTS", {"alertname": alert, "alertstate": "firing"}, start, end))

    def active_since(self, labels: Mapping[str, str], start: float, at: float) -> float | None:
        """Return since when the expression held of the alert with these labels, which was active at a time."""
        found = self._samples("ALERTS_FOR_STATE", labels, start, at)
        return _active_since(found[0]) if found else None

    def _samples(
        self, name: str, labels: Mapping[str, str], start: float, end: float, *matchers: str
    ) -> list[list[_Sample]]:
        """Return the samples of each series as they are: those of a range query are at its steps, so later."""
        equal = (f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
        found = self.instant(f"{name}{{{', '.join([*equal, *matchers])}}}[{math.ceil(end - start)}s]", end)
        return [[(float(at), float(value)) for at, value in series["values"]] for series in found]

    def _query(self, route: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self._get(f"{route}?{urlencode(parameters)}")["result"])

    def _get(self, path: str) -> dict[str, Any]:
        response = http.request("GET", f"{self._url}/api/v1/{path}", timeout=20)
        document = json.loads(response.content)
        if not response.ok:
            raise ServiceError(f"{self._url} answered {response.status}: {document.get('error')}")
        return dict(document["data"])


def _active_since(samples: Sequence[_Sample]) -> float:
    """Find the evaluation in which the alert of the last sample became active.

    The value is that evaluation's time without the fraction of a second, which the first sample with this value has;
    where the evaluation was before the first sample, the value alone is known.
    """
    second = samples[-1][1]
    first = next(at for at, value in samples if value == second)
    return first if first - second < 1 else second


def _spans(times: list[float]) -> list[Span]:
    spans: list[Span] = []
    for at in times:
        if spans and at - spans[-1].last < 2 * STEP:
            spans[-1] = Span(spans[-1].first, at)
        else:
            spans.append(Span(at, at))
    return spans
