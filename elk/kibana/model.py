"""Dashboard *Model*: what one model responds, where it fails, and how its responses compare with the labels."""

from __future__ import annotations

import hashlib

from elk.kibana import fields
from elk.kibana.columns import Metric, Terms, Times
from elk.kibana.conditions import has
from elk.kibana.data_views import AUDIT, FEEDBACK, PREDICTIONS, SERVICE
from elk.kibana.panels import Dashboard, Panel, SearchPanel
from elk.kibana.searches import AUDIT_SEARCH, FAILURES_SEARCH

ID = "slipway-model"
_LONGEST_ID = 60
_ANSWERED = has(fields.ANSWERED, True)
_FAILED = has(fields.OUTCOME, "failure")
_SOUND = "no row failed"
_VERDICTS = ("verdict.drift", "verdict.none", "verdict.too_little_data")  # of `slipway monitor`
_REGRESSION = "the model is a regression, whose responses are values"


def dashboard(usecase: str = "") -> Dashboard:
    """Make the dashboard of a use case, or that which has a choice of them at its top."""
    if not usecase:
        controls = (
            (fields.USECASE, "Use case", PREDICTIONS),
            (fields.ENVIRONMENT, "Environment", PREDICTIONS),
            (fields.VERSION, "Version", PREDICTIONS),
        )
        about = "Is this model well? If not, for whom, and since when?"
        return Dashboard(ID, "Slipway: Model", about, _panels(), controls)
    chosen = ((fields.ENVIRONMENT, "Environment", PREDICTIONS), (fields.VERSION, "Version", PREDICTIONS))
    about = f"Is {usecase} well? If not, for whom, and since when?"
    return Dashboard(own_id(usecase), f"Slipway: {usecase}", about, _panels(), chosen, (has(fields.USECASE, usecase),))


def own_id(usecase: str) -> str:
    """Name the dashboard that a use case has of its own."""
    name = f"{ID}-{usecase}"
    if len(name) <= _LONGEST_ID:
        return name
    return f"{name[:_LONGEST_ID]}-{hashlib.sha256(usecase.encode()).hexdigest()[:8]}"


def _panels() -> tuple[Panel | SearchPanel, ...]:
    return (*_figures(), *_responses(), *_latency(), *_callers(), *_actions())


def _figures() -> tuple[Panel, ...]:
    def figure(title: str, about: str, metric: Metric, empty: str = "") -> Panel:
        return Panel(title, about, "figure", PREDICTIONS, (metric,), width=12, height=6, may_be_empty=empty)

    return (
        figure("Responses", "Rows that callers got a response for.", Metric("Responses", of=(_ANSWERED,))),
        figure("Failures", "Rows that failed, in any role.", Metric("Failures", of=(_FAILED,)), _SOUND),
        figure("Callers", "Different credentials.", Metric("Callers", "unique_count", fields.CALLER)),
        figure(
            "Latency, 99 %",
            "Time of a request in the server, which 99 of 100 stay below.",
            Metric("99th percentile", "percentile", fields.DURATION, percent=99),
        ),
    )


def _responses() -> tuple[Panel, ...]:
    by_label = (Times(), Terms(fields.LABEL, "Label"))
    return (
        Panel(
            "Responses by label",
            "What the model responded. Compare with the labels beside it: they arrive later.",
            "bar",
            PREDICTIONS,
            (Metric("Rows"),),
            by_label,
            (_ANSWERED,),
            may_be_empty=_REGRESSION,
        ),
        Panel(
            "Labels",
            "Ground truth by the time when it was sent.",
            "bar",
            FEEDBACK,
            (Metric("Labels"),),
            by_label,
            may_be_empty="no label was sent, or they are values",
        ),
        Panel(
            "Score by version",
            "Mean score of the responses; a step without a new version is a change of what is sent.",
            "line",
            PREDICTIONS,
            (Metric("Mean score", "average", fields.SCORE),),
            (Times(), Terms(fields.VERSION, "Version", 5)),
            (_ANSWERED,),
        ),
        Panel(
            "Rows by role",
            "Champion, canary and shadow, each of which makes an event for a row.",
            "area",
            PREDICTIONS,
            (Metric("Rows"),),
            (Times(), Terms(fields.ROLE, "Role", 4)),
        ),
    )


def _latency() -> tuple[Panel, ...]:
    percentiles = tuple(
        Metric(f"{percent}th percentile", "percentile", fields.DURATION, percent=percent) for percent in (50, 95, 99)
    )
    return (
        Panel("Latency", "Time of requests in the server.", "line", PREDICTIONS, percentiles, (Times(),), (_ANSWERED,)),
        Panel(
            "Failures by type",
            "What failed, by error.type.",
            "bar",
            PREDICTIONS,
            (Metric("Rows"),),
            (Times(), Terms(fields.ERROR, "Error")),
            (_FAILED,),
            may_be_empty=_SOUND,
        ),
    )


def _callers() -> tuple[Panel | SearchPanel, ...]:
    metrics = (
        Metric("Failures", of=(_FAILED,)),
        Metric("Rows"),
        Metric("Mean score", "average", fields.SCORE),
        Metric("Mean ms in the model", "average", fields.MODEL_MS),
    )
    about = "Callers, those with most failures first; a caller is the pseudonym of a credential."
    return (
        Panel("Callers", about, "table", PREDICTIONS, metrics, (Terms(fields.CALLER, "Caller", 20),)),
        Panel(
            "Labels by caller",
            "Who sends ground truth, and how much of it.",
            "table",
            FEEDBACK,
            (Metric("Labels"),),
            (Terms(fields.CALLER, "Caller", 20), Terms(fields.LABEL, "Label", 5)),
            may_be_empty="no label was sent with a credential",
        ),
        SearchPanel(FAILURES_SEARCH, "Failed predictions"),
    )


def _actions() -> tuple[Panel | SearchPanel, ...]:
    return (
        Panel(
            "Actions on versions",
            "Promotions, rollouts, rollbacks and decisions to retrain, as the audit has them.",
            "bar",
            AUDIT,
            (Metric("Actions"),),
            (Times(), Terms(fields.ACTION, "Action", 20)),
            may_be_empty="nothing was done to its versions",
        ),
        Panel(
            "Drift verdicts",
            "What each monitoring run found; the verdict itself has the features and the report.",
            "bar",
            SERVICE,
            (Metric("Verdicts"),),
            (Times(), Terms(fields.ACTION, "Verdict", 5)),
            (has(fields.ACTION, *_VERDICTS),),
            may_be_empty="no monitor ran",
        ),
        SearchPanel(AUDIT_SEARCH, "What was done to models"),
    )
