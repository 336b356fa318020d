"""Dashboard *Logs of the fleet*: which process warns about what, and which requests are rejected."""

from __future__ import annotations

from elk.kibana import fields
from elk.kibana.columns import Metric, Terms, Times
from elk.kibana.conditions import has
from elk.kibana.data_views import SERVICE
from elk.kibana.panels import Dashboard, Panel, SearchPanel
from elk.kibana.searches import PROBLEMS_SEARCH

ID = "slipway-fleet-logs"
_ERRORS = has(fields.LEVEL, "error", "critical")
_WARNINGS = has(fields.LEVEL, "warning")
_SOUND = "no process logged one"


def dashboard() -> Dashboard:
    controls = (
        (fields.ENVIRONMENT, "Environment", SERVICE),
        (fields.PROCESS, "Process", SERVICE),
        (fields.LEVEL, "Level", SERVICE),
    )
    about = "Which process warns, about what, and since when?"
    return Dashboard(ID, "Slipway: Logs of the fleet", about, (*_figures(), *_reasons()), controls)


def _figures() -> tuple[Panel, ...]:
    def figure(title: str, about: str, metric: Metric, empty: str = "") -> Panel:
        return Panel(title, about, "figure", SERVICE, (metric,), width=12, height=6, may_be_empty=empty)

    return (
        figure("Errors", "Log lines of level error and above.", Metric("Errors", of=(_ERRORS,)), _SOUND),
        figure("Warnings", "Log lines of level warning.", Metric("Warnings", of=(_WARNINGS,)), _SOUND),
        figure("Lines", "Log lines of every level.", Metric("Lines")),
        figure("Processes", "Kinds of processes that log.", Metric("Processes", "unique_count", fields.PROCESS)),
    )


def _reasons() -> tuple[Panel | SearchPanel, ...]:
    lines = (Metric("Lines"),)
    return (
        Panel("Lines by level", "Log lines.", "bar", SERVICE, lines, (Times(), Terms(fields.LEVEL, "Level", 5))),
        Panel(
            "Errors by process",
            "Log lines of level error and above.",
            "bar",
            SERVICE,
            lines,
            (Times(), Terms(fields.PROCESS, "Process")),
            (_ERRORS,),
            may_be_empty=_SOUND,
        ),
        Panel(
            "Loggers",
            "Parts of the code that log, those with most errors first.",
            "table",
            SERVICE,
            (Metric("Errors", of=(_ERRORS,)), Metric("Warnings", of=(_WARNINGS,)), *lines),
            (Terms(fields.LOGGER, "Logger", 20),),
        ),
        Panel(
            "Rejected requests",
            "Responses of the service other than success, as its access log has them.",
            "table",
            SERVICE,
            lines,
            (Terms(fields.STATUS, "Status", 10, "number"), Terms(fields.CALLER, "Caller", 5)),
            (has(fields.STATUS),),
            may_be_empty="no request was rejected",
        ),
        SearchPanel(PROBLEMS_SEARCH, "Warnings and errors"),
    )
