"""Dashboard *Pipelines*: whether trainings and monitors run when they should, and what they decided."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import links, thresholds, variables
from grafana.addresses import Addresses
from grafana.base import base
from grafana.panels import GREEN, RED, Panel, column, graph, listing, stat, states, timeline
from grafana.queries import SCOPE, increase, milliseconds, newest, now, over_time, rate, rows

_BY = "namespace, usecase, flow"
_ENDED = f"slipway_pipeline_run_timestamp_seconds{{{SCOPE}}}"
_DUE = f"slipway_pipeline_due_timestamp_seconds{{{SCOPE}}}"
_VERDICT = f"slipway_verdict_timestamp_seconds{{{SCOPE}}}"
_VERDICT_DUE = f"slipway_verdict_due_timestamp_seconds{{{SCOPE}}}"
_OVERDUE = states({0: ("on time", GREEN), 1: ("overdue", RED)})


def dashboard(addresses: Addresses) -> Dashboard:
    found = base(
        links.PIPELINES,
        "Slipway: Pipelines",
        "Do trainings and monitors run when they should, and what did they decide?",
        addresses,
        since="now-7d",
    )
    for variable in (variables.namespace(), variables.usecases()):
        found.with_variable(variable)
    for panel in (*_figures(), _last_runs(), *_runs(), *_results(), *_monitoring()):
        found.with_panel(panel)
    return found


def _overdue(due: str, done: str, by: str) -> str:
    """Return 1 where something was last done before it was due, or never, and else 0."""
    expected = f"max by ({by}) ({due})"
    return f"{expected} > bool max by ({by}) ({done}) or {expected} * 0 + 1"


def _figures() -> list[Panel]:
    return [
        stat(
            "Last pass of the watch",
            "Time since the watch process completed a pass; it writes all metrics of this dashboard.",
            "s",
            now('time() - max(slipway_watch_pass_timestamp_seconds{namespace=~"$namespace"})'),
            steps=thresholds.WATCH_PASS,
            width=6,
            runbook="SlipwayWatchDown",
            empty="no watch",
        ),
        stat(
            "A pass takes",
            "Time that the last complete pass of the watch took.",
            "s",
            now('max(slipway_watch_pass_seconds{namespace=~"$namespace"})'),
            steps=thresholds.WATCH_PASS,
            width=6,
        ),
        stat(
            "Failed runs",
            "Runs that failed in the last 7 days.",
            "short",
            now(f'sum(increase(slipway_pipeline_runs_total{{{SCOPE}, outcome="failed"}}[7d]))'),
            steps=thresholds.ANY,
            width=6,
            runbook="SlipwayPipelineFailed",
        ).decimals(0),
        stat(
            "Reports missing",
            "Reports that the last verdicts lack: their page, Evidently's, or their run in MLflow.",
            "short",
            now(f"sum(slipway_report_missing{{{SCOPE}}})"),
            steps=thresholds.ANY,
            width=6,
        ),
    ]


def _last_runs() -> Panel:
    columns = {
        "namespace": "Environment",
        "usecase": "Use case",
        "flow": "Flow",
        "outcome": "Outcome",
        "Value #A": "Ended",
        "Value #B": "Duration",
        "Value #C": "Due since",
        "Value #D": "On time",
    }
    found = listing(
        "Last runs",
        "The last run of each flow, and since when a newer one is due by the schedule in usecase.yaml.",
        columns,
        rows(milliseconds(newest(_ENDED, _BY, "outcome"))),
        rows(f"max by ({_BY}) (slipway_pipeline_run_duration_seconds{{{SCOPE}}})"),
        rows(milliseconds(f"max by ({_BY}) ({_DUE})")),
        rows(_overdue(_DUE, _ENDED, _BY)),
        runbook="SlipwayPipelineOverdue",
    )
    column(found, "Use case", link=links.named("Model", links.model("${__value.raw}")))
    column(found, "Ended", "dateTimeFromNow")
    column(found, "Duration", "s")
    column(found, "Due since", "dateTimeFromNow")
    column(found, "On time", mapping=_OVERDUE)
    return found


def _runs() -> list[Panel]:
    return [
        graph(
            "Runs in a day",
            "Runs that ended in the day before, by outcome.",
            "short",
            over_time(
                increase(f"slipway_pipeline_runs_total{{{SCOPE}}}", "flow, outcome", "1d"), "{{flow}}: {{outcome}}"
            ),
            runbook="SlipwayPipelineFailed",
        ),
        graph(
            "Duration",
            "Duration of the last run.",
            "s",
            over_time(
                f"max by (usecase, flow) (slipway_pipeline_run_duration_seconds{{{SCOPE}}})", "{{usecase}}: {{flow}}"
            ),
        ),
    ]


def _results() -> list[Panel]:
    return [
        graph(
            "Gates by verdict",
            "Gates of the last training, by their verdict.",
            "short",
            over_time(f"max by (usecase, verdict) (slipway_pipeline_gates{{{SCOPE}}})", "{{usecase}}: {{verdict}}"),
        ),
        graph(
            "Rows",
            "Rows of the last runs: of a training by side of the split, of a monitor in its window.",
            "short",
            over_time(f"max by (usecase, side) (slipway_pipeline_rows{{{SCOPE}}})", "{{usecase}}: {{side}}"),
        ),
        graph(
            "Retraining decisions in a day",
            "Requests for a training in the day before, by what the policy decided.",
            "short",
            over_time(
                increase(f"slipway_retraining_decisions_total{{{SCOPE}}}", "usecase, decision", "1d"),
                "{{usecase}}: {{decision}}",
            ),
            runbook="SlipwayDrift",
        ),
    ]


def _monitoring() -> list[Panel]:
    return [
        timeline(
            "Verdicts",
            "Whether the last verdict is older than its schedule allows, or there is none.",
            _OVERDUE,
            over_time(_overdue(_VERDICT_DUE, _VERDICT, "usecase"), "{{usecase}}"),
            runbook="SlipwayVerdictOverdue",
        ),
        graph(
            "Webhook deliveries of MLflow",
            "Deliveries by outcome. A lost one delays a promotion until the next poll, no more.",
            "cps",
            over_time(
                rate('slipway_mlflow_webhook_deliveries_total{namespace=~"$namespace"}', "outcome"), "{{outcome}}"
            ),
        ),
    ]
