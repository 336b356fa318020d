"""Client of Prometheus' HTTP API: traffic of the last hour, and error budgets, by use case.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import urlencode

from msgspec import Struct

from monitoring.telemetry.history import MINUTE, MINUTES, Budgets, LastHour
from slipway.clients.http import HttpClient, without_login
from slipway.errors import ServiceError
from slipway.texts import one_line

TIMEOUT_SECONDS = 5.0
SOURCE = "Prometheus"
DEFAULT_QUANTILE = 0.99
_AVAILABILITY = "namespace_usecase:slipway_availability_budget_left:ratio"  # of monitoring/prometheus/rules
_LATENCY = "namespace_usecase:slipway_latency_budget_left:ratio"


class _Series(Struct, frozen=True):
    """A result of a query: `values` of one over a range of time, `value` of one at a time."""

    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(Struct, frozen=True):
    result: list[_Series]


class _Answer(Struct, frozen=True):
    data: _Data | None = None
    error: str = ""


class PrometheusApi:
    """Queries to one Prometheus, of series that have this label `namespace`; of all with an empty one."""

    def __init__(self, url: str, namespace: str) -> None:
        self._http = HttpClient(url, timeout=TIMEOUT_SECONDS)
        self._shown = without_login(url)
        self._namespace = f'namespace="{namespace}"' if namespace else ""

    def last_hours(self, now: float, quantiles: Mapping[str, float]) -> dict[str, LastHour]:
        """The last hour of each use case that has requests; the quantile of its latency is that of `quantiles`.

        Raises:
            ServiceError: Prometheus does not respond, or not as Prometheus does.
        """
        requests = self._range(f"sum by (usecase) (rate({self._requests()}[5m]))", now)
        of_server = self._requests('code=~"5.."')
        failed = self._range(f"sum by (usecase) (rate({of_server}[5m]))", now)
        latency = self._latencies(now, {usecase: quantiles.get(usecase, DEFAULT_QUANTILE) for usecase in requests})
        nothing: list[float | None] = [None] * MINUTES
        return {
            usecase: LastHour(rates, _shares(failed.get(usecase), rates), latency.get(usecase, nothing), SOURCE)
            for usecase, rates in requests.items()
        }

    def budgets(self, now: float) -> dict[str, Budgets]:
        """The budgets that the recording rules compute; none without the rules. Raises ServiceError as above."""
        availability, latency = self._at_once(_AVAILABILITY, now), self._at_once(_LATENCY, now)
        return {
            usecase: Budgets(availability.get(usecase), latency.get(usecase))
            for usecase in availability.keys() | latency.keys()
        }

    def close(self) -> None:
        self._http.close()

    def _latencies(self, now: float, quantiles: Mapping[str, float]) -> dict[str, list[float | None]]:
        """Query each quantile that is an objective for all use cases, which have the same one mostly."""
        found: dict[str, list[float | None]] = {}
        for quantile in sorted(set(quantiles.values())):
            buckets = f"slipway_request_duration_seconds_bucket{self._matching()}"
            expression = f"histogram_quantile({quantile:g}, sum by (usecase, le) (rate({buckets}[5m])))"
            series = self._range(expression, now)
            found |= {name: values for name, values in series.items() if quantiles.get(name) == quantile}
        return found

    def _requests(self, *matchers: str) -> str:
        return f"slipway_requests_total{self._matching(*matchers)}"

    def _matching(self, *matchers: str) -> str:
        chosen = ['route="predict"', 'usecase!=""', self._namespace, *matchers]
        return "{" + ", ".join(filter(None, chosen)) + "}"

    def _range(self, query: str, now: float) -> dict[str, list[float | None]]:
        start = now - (MINUTES - 1) * MINUTE
        parameters = {"query": query, "start": f"{start:.3f}", "end": f"{now:.3f}", "step": f"{MINUTE:g}"}
        found: dict[str, list[float | None]] = {}
        for series in self._get("query_range", parameters):
            values = found.setdefault(series.metric.get("usecase", ""), [None] * MINUTES)
            for at, text in series.values:
                place = round((at - start) / MINUTE)
                if 0 <= place < MINUTES:
                    values[place] = _number(text)
        return found

    def _at_once(self, name: str, now: float) -> dict[str, float]:
        """The value by use case; the lowest where several namespaces have it."""
        matching = f"{{{self._namespace}}}" if self._namespace else ""
        found = self._get("query", {"query": f"min by (usecase) ({name}{matching})", "time": f"{now:.3f}"})
        values = {series.metric.get("usecase", ""): _number(series.value[1]) for series in found if series.value}
        return {usecase: value for usecase, value in values.items() if value is not None}

    def _get(self, path: str, parameters: Mapping[str, str]) -> list[_Series]:
        try:
            response = self._http.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = response.read(_Answer)
        except ServiceError as error:
            raise ServiceError(f"{SOURCE} at {self._shown} does not respond: {error}") from None
        if not response.ok or answer.data is None:
            raise ServiceError(f"{SOURCE} at {self._shown} answered {response.status} {one_line(answer.error)}".strip())
        return answer.data.result


def _shares(failed: list[float | None] | None, rates: list[float | None]) -> list[float | None]:
    """Shares of the requests; without a series of failures none has failed."""
    counts = failed or [None] * len(rates)
    return [(count or 0.0) / rate if rate else None for count, rate in zip(counts, rates, strict=True)]


def _number(text: str) -> float | None:
    """A finite number; None for `NaN`, which a quantile of nothing is, and for what is no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
