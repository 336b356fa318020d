"""Dashboard *Fleet*: every model in one row each, and what needs attention."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink

from grafana import links, thresholds, variables
from grafana.addresses import Addresses
from grafana.base import base
from grafana.panels import BOUND, DETECTED, Panel, column, listing, stat
from grafana.queries import (
    ERROR_BUDGET,
    FAILED,
    FIRING,
    FIRING_OF_MODELS,
    LATENCY_BUDGET,
    MISSED,
    REQUESTS,
    SCOPE,
    WATCHDOG,
    milliseconds,
    newest,
    now,
    quantile,
    rate,
    rows,
    share,
)

_BY = "namespace, usecase"
_CHAMPIONS = f'slipway_model_info{{{SCOPE}, role="champion"}}'
_LATENCY = f'slipway_request_duration_seconds{{{SCOPE}, route="predict"}}'
_GATED_QUALITY = f"slipway_quality{{{SCOPE}}} and on ({_BY}, metric) slipway_quality_bound"
# 1 where a gated score misses its bound, 0 where all keep theirs
_MISSED = f"max by ({_BY}) ({MISSED}{{{SCOPE}}} * 0 + 1) or max by ({_BY}) ({_GATED_QUALITY}) * 0"
# When each alert was seen firing last; a few alerts, evaluated every 5 minutes
_FIRED = f"max_over_time(timestamp({FIRING_OF_MODELS})[7d:5m])"
_COLUMNS = {
    "namespace": "Environment",
    "usecase": "Use case",
    "version": "Version",
    "Value #A": "Requests",
    "Value #B": "Failed",
    "Value #C": "Error budget left",
    "Value #D": "Latency p99",
    "Value #E": "Latency budget left",
    "Value #F": "Drift",
    "metric": "Quality by",
    "Value #G": "Quality",
    "Value #H": "Bound",
    "alertname": "Last alert",
    "Value #J": "Firing until",
}


def dashboard(addresses: Addresses) -> Dashboard:
    found = base(links.FLEET, "Slipway: Fleet", "Which model needs attention, and in what way?", addresses)
    for variable in (variables.namespace(), variables.usecases()):
        found.with_variable(variable)
    for panel in (*_figures(), _models(), _alerts()):
        found.with_panel(panel)
    return found


def _figures() -> list[Panel]:
    """Return six figures on the whole fleet."""
    fleet = f"count(count by ({_BY}) ({_CHAMPIONS}))"
    return [
        stat("Models", "Use cases that a server has a champion for.", "short", now(fleet)),
        stat(
            "Alerts firing",
            "Slipway's alerts that fire now, but the watchdog, which always fires. Empty: no rules are loaded.",
            "short",
            now(f"count({FIRING}) or count({WATCHDOG}) * 0"),
            steps=thresholds.ANY,
            empty="no rules loaded",
        ),
        stat("Requests", "Prediction requests of all models.", "reqps", now(rate(REQUESTS))),
        stat(
            "Failed requests",
            "Share of prediction requests that got a status of 500 or above.",
            "percentunit",
            now(share(FAILED, REQUESTS)),
            steps=thresholds.FAILED,
            runbook="SlipwayErrorBudgetBurn",
        ),
        stat(
            "Models with drift",
            "Use cases whose last verdict is drift.",
            "short",
            now(f"sum(slipway_drift_detected{{{SCOPE}}})"),
            steps=thresholds.ANY,
            runbook="SlipwayDrift",
        ),
        stat(
            "Altered versions",
            "Files and digests of versions that are not as they were registered.",
            "short",
            now(f"sum(slipway_versions_altered{{{SCOPE}}})"),
            steps=thresholds.ANY,
            runbook="SlipwayVersionAltered",
        ),
    ]


def _models() -> Panel:
    """Return the table of models: rows open the Model dashboard, the version in MLflow and the last alert's runbook."""
    found = listing(
        "Models",
        "One row for each model. Budgets are what its objectives in usecase.yaml leave in their window: 100 % is "
        "untouched, below 0 is overdrawn. Quality is by the metric that the use case is gated on; it misses its bound "
        "where its whole interval does, as the alert says. Cells open the panel with the reason.",
        _COLUMNS,
        rows(rate(REQUESTS, _BY)),
        rows(share(FAILED, REQUESTS, _BY)),
        rows(f"max by ({_BY}) ({ERROR_BUDGET})"),
        rows(quantile(0.99, _LATENCY, _BY)),
        rows(f"max by ({_BY}) ({LATENCY_BUDGET})"),
        rows(f"max by ({_BY}) (slipway_drift_detected{{{SCOPE}}})"),
        rows(newest(_GATED_QUALITY, _BY, "metric")),
        rows(_MISSED),
        rows(newest(_CHAMPIONS, _BY, "version")),
        rows(milliseconds(newest(_FIRED, _BY, "alertname"))),
    )
    _describe_columns(found)
    return found


def _describe_columns(found: table.Panel) -> None:
    version = links.mlflow_version("${__data.fields.usecase}", "${__value.raw}")
    column(found, "Use case", link=links.named("Why", links.model("${__value.raw}")))
    column(found, "Version", link=links.named("Version in MLflow", version))
    column(found, "Requests", "reqps", link=_reason("Requests by role"))
    column(found, "Failed", "percentunit", thresholds.FAILED, link=_reason("Errors"))
    column(found, "Error budget left", "percentunit", thresholds.BUDGET_LEFT, link=_reason("Errors"))
    column(found, "Latency p99", "s", link=_reason("Latency"))
    column(found, "Latency budget left", "percentunit", thresholds.BUDGET_LEFT, link=_reason("Late responses"))
    column(found, "Drift", mapping=DETECTED, link=_reason("Drift by feature", "state-timeline"))
    column(found, "Quality", link=_reason("Quality"))
    column(found, "Bound", mapping=BOUND)
    column(found, "Last alert", link=links.named("Runbook", links.runbook("${__value.raw}")))
    column(found, "Firing until", "dateTimeFromNow")


def _reason(title: str, kind: str = "timeseries") -> DashboardLink:
    """Return the link from a row to the panel of *Model* that says why."""
    return links.named(title, links.model_panel(kind, title, "${__data.fields.usecase}"))


def _alerts() -> Panel:
    columns = {
        "alertname": "Alert",
        "severity": "Severity",
        "namespace": "Environment",
        "usecase": "Use case",
        "owner": "Owner",
    }
    found = listing(
        "Firing alerts",
        "Alerts that fire now, with their owner; an alert opens its runbook.",
        columns,
        rows(f"max by (alertname, severity, namespace, usecase, owner) ({FIRING})"),
        height=6,
        empty="no alert fires",
    )
    column(found, "Alert", link=links.named("Runbook", links.runbook("${__value.raw}")))
    column(found, "Use case", link=links.named("Why", links.model("${__value.raw}")))
    return found
