"""Dashboard *Prediction log*: whether every prediction is recorded, and how soon it is safe."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from elk.kibana.data_views import EVERYTHING
from grafana import links, thresholds, variables
from grafana.addresses import Addresses
from grafana.base import base
from grafana.panels import Panel, bound, graph, stat
from grafana.queries import SCOPE, now, over_time, rate

_LAG = f"slipway_prediction_log_lag_seconds{{{SCOPE}}}"
_LOST = f"slipway_prediction_log_lost_total{{{SCOPE}}}"
# The shipper's is without a use case: one process for all of them
_SINK_LAG = f"slipway_prediction_log_sink_lag_seconds{{{SCOPE}}}"
_ROTATION = 'slipway_prediction_log_rotation_seconds{namespace=~"$namespace"}'


def dashboard(addresses: Addresses) -> Dashboard:
    found = base(
        links.PREDICTION_LOG,
        "Slipway: Prediction log",
        "Is every prediction recorded, and how soon is its record safe from the loss of a machine?",
        addresses,
    )
    for variable in (variables.namespace(), variables.usecases(), variables.trace()):
        found.with_variable(variable)
    found.link(links.named("This trace in Kibana", links.kibana('trace.id : "${trace}"', EVERYTHING)))
    for panel in (*_figures(), *_flows()):
        found.with_panel(panel)
    return found


def _figures() -> list[Panel]:
    return [
        stat(
            "Events lost",
            "Events that could not be written, in the dashboard's time range: drift, quality and retraining miss them.",
            "short",
            now(f"sum(increase({_LOST}[$__range]))"),
            steps=thresholds.ANY,
            width=6,
            runbook="SlipwayPredictionLogLost",
        ).decimals(0),
        stat(
            "Oldest event on one machine only",
            "Age of the oldest line that is not shipped: what the loss of a machine costs.",
            "s",
            now(f"max({_LAG})"),
            steps=thresholds.LOG_LAG,
            width=6,
            runbook="SlipwayPredictionLogBehind",
        ),
        stat(
            "Files left out",
            "Files that the last verdicts left out: those that cannot be read, or have lines that are no events.",
            "short",
            now(f"sum(slipway_prediction_log_left_out_files{{{SCOPE}}})"),
            steps=thresholds.ANY,
            width=6,
        ),
        stat(
            "Failed shipments",
            "Times that a segment or an image could not be shipped, in the dashboard's time range.",
            "short",
            now(f"sum(increase(slipway_prediction_log_ship_failures_total{{{SCOPE}}}[$__range]))"),
            steps=thresholds.ANY,
            width=6,
            runbook="SlipwayPredictionLogBehind",
        ).decimals(0),
    ]


def _flows() -> list[Panel]:
    lag = graph(
        "Lag of the shipper",
        "Age of the oldest line that is not shipped; the dashed line is where the alert fires, by the age at which a "
        "segment is closed.",
        "s",
        over_time(f"max by (usecase) ({_LAG})", "{{usecase}}"),
        over_time(f"{thresholds.LOG_SEGMENTS:g} * max({_ROTATION})", "bound"),
        runbook="SlipwayPredictionLogBehind",
    )
    return [
        graph(
            "Rows predicted and events shipped",
            "Rows of every role make an event each; shipped ones follow segment by segment, so compare areas.",
            "cps",
            over_time(rate(f"slipway_predictions_total{{{SCOPE}}}"), "predicted"),
            over_time(rate(f"slipway_prediction_log_shipped_events_total{{{SCOPE}}}"), "shipped"),
            see=[links.named("Predictions in Kibana", links.kibana("slipway.contract : *"))],
        ),
        bound(lag, "bound"),
        graph(
            "Events lost",
            "Events that could not be written, by use case.",
            "cps",
            over_time(rate(_LOST, "usecase"), "{{usecase}}"),
            runbook="SlipwayPredictionLogLost",
        ),
        graph(
            "Segments shipped",
            "Segments that every sink has, and attempts that failed.",
            "cps",
            over_time(rate(f"slipway_prediction_log_shipped_segments_total{{{SCOPE}}}"), "shipped"),
            over_time(rate(f"slipway_prediction_log_ship_failures_total{{{SCOPE}}}"), "failed"),
        ),
        graph(
            "Lag of each sink",
            "Age of the oldest line that a sink lacks; the dashed line is where the alert on Elasticsearch fires.",
            "s",
            over_time(f"max by (sink) ({_SINK_LAG})", "{{sink}}"),
            steps=thresholds.SEARCH_LAG,
            runbook="SlipwaySearchBehind",
        ),
        graph(
            "Documents refused and sent again",
            "Refused ones are kept until `slipway ship --replay-refused`; others wait until Elasticsearch has room.",
            "cps",
            over_time(rate(f"slipway_prediction_log_refused_documents_total{{{SCOPE}}}"), "refused"),
            over_time(rate(f"slipway_prediction_log_retried_documents_total{{{SCOPE}}}"), "sent again"),
            runbook="SlipwayDocumentsRefused",
        ),
    ]
