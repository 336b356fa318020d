"""PromQL of the dashboards: the variables' selectors, rates, shares and targets.

Every selector names `$namespace` and `$usecase` by `=~`: Grafana fills in one value, several as `(a|b)`, or a regular
expression for All, which also matches series without a namespace, as on a laptop.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SCOPE = 'namespace=~"$namespace", usecase=~"$usecase"'
VERSIONS = f'{SCOPE}, version=~"$version"'
ALERTS = 'ALERTS{alertstate="firing", alertname=~"Slipway.*", alertname!="SlipwayWatchdog"'
FIRING_OF_MODELS = f"{ALERTS}, {SCOPE}}}"
# Alerts on no use case, such as a full disk, concern every use case.
FIRING = f'{ALERTS}, namespace=~"$namespace|", usecase=~"$usecase|"}}'
WATCHDOG = 'ALERTS{alertname="SlipwayWatchdog"}'
REQUESTS = f'slipway_requests_total{{{SCOPE}, route="predict"}}'
FAILED = f'slipway_requests_total{{{SCOPE}, route="predict", code=~"5.."}}'
REFUSED = f'slipway_requests_total{{{SCOPE}, route="predict", code=~"4.."}}'

# Recorded by rules: budgets, whose windows of days are too long to be read by a panel
ERROR_BUDGET = f"namespace_usecase:slipway_availability_budget_left:ratio{{{SCOPE}}}"
LATENCY_BUDGET = f"namespace_usecase:slipway_latency_budget_left:ratio{{{SCOPE}}}"
# The share of successful predictions that were late
LATE = f"namespace_usecase:slipway_requests_slow:ratio5m{{{SCOPE}}}"
# Scores whose whole interval is beyond the bound of their gate
MISSED = "namespace_usecase_version_metric:slipway_quality_missed:max"


def rate(series: str, by: str = "") -> str:
    """Return the sum of the series' rates per second, for each value of the labels `by`."""
    return f"sum {_by(by)}(rate({series}[$__rate_interval]))"


def increase(series: str, by: str, over: str) -> str:
    """Return by how much the series' sum rose in a fixed time."""
    return f"sum {_by(by)}(increase({series}[{over}]))"


def share(part: str, whole: str, by: str = "") -> str:
    """Return the share of `part` in `whole`: zero, not nothing, while `part` has no series yet."""
    total = rate(whole, by)
    return f"({rate(part, by)} or {total} * 0) / {total}"


def quantile(share_of_requests: float, histogram: str, by: str = "") -> str:
    """Return a quantile of a histogram, whose selector is without the suffix `_bucket`."""
    buckets = histogram.replace("{", "_bucket{", 1)
    labels = ", ".join(label for label in (by, "le") if label)
    return f"histogram_quantile({share_of_requests}, {rate(buckets, labels)})"


def newest(series: str, by: str, with_label: str) -> str:
    """Return, for each value of the labels `by`, the highest value and the label that it has."""
    return f"topk by ({by}) (1, max by ({by}, {with_label}) ({series}))"


def milliseconds(seconds: str) -> str:
    """Return a time as Grafana's units of dates take it."""
    return f"{seconds} * 1000"


def over_time(expression: str, legend: str = "") -> Dataquery:
    """Return a target with one value per step of the panel."""
    return Dataquery().expr(expression).legend_format(legend).range()


def now(expression: str, legend: str = "") -> Dataquery:
    """Return a target with the value at the end of the dashboard's time range."""
    return Dataquery().expr(expression).legend_format(legend).instant()


def buckets(histogram: str) -> Dataquery:
    """Return a target with the rate of each bucket of a histogram, whose selector is without the suffix `_bucket`.

    Each counts what is below its bound, and Grafana shows the differences. The last one would be a row without a bound.
    """
    series = histogram.replace("{", '_bucket{le!="+Inf", ', 1)
    return Dataquery().expr(rate(series, "le")).legend_format("{{le}}").range().format(PromQueryFormat.HEATMAP)


def rows(expression: str) -> Dataquery:
    """Return a target whose series are rows of a table and whose labels are its columns."""
    return Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE)


def _by(labels: str) -> str:
    return f"by ({labels}) " if labels else ""
