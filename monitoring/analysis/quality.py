"""Live quality: scores of the labelled predictions, compared with the scores on the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slipway.evaluation.bootstrap import intervals
from slipway.evaluation.metrics import METRICS, PRIMARY, Metric, computable, scored_predictions
from slipway.prediction_log.jsonl import literal
from slipway.timestamps import iso

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.config import Cost, UseCase
    from slipway.contracts.schema import Schema
    from slipway.prediction_log import Log

MIN_LABELS = 30
MAX_LABELS = 10_000
TITLES = {name: metric.title for metrics in METRICS.values() for name, metric in metrics.items()}
_ROUNDS = 300  # of the bootstrap: enough for a metric's interval, and short for every monitoring run
_ALWAYS = {"binary": ("accuracy", "roc_auc", "brier"), "multiclass": ("accuracy",), "regression": ("mae", "rmse", "r2")}


@dataclass(frozen=True)
class Score:
    """Value of a metric with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class QualityMetrics:
    """Names of the metrics of live quality, and the costs that `expected_cost` needs."""

    names: tuple[str, ...]
    cost: Cost | None = None

    @staticmethod
    def of(usecase: UseCase) -> QualityMetrics:
        """The task's usual metrics, and those that the use case is gated on."""
        gated = (usecase.gates.metric or PRIMARY[usecase.task], *usecase.gates.absolute)
        return QualityMetrics(tuple(dict.fromkeys([*_ALWAYS[usecase.task], *gated])), usecase.target.cost)

    @staticmethod
    def of_task(task: str) -> QualityMetrics:
        """The usual metrics of a task, for a model without a use case folder."""
        return QualityMetrics(_ALWAYS[task])


def measure(
    log: Log, usecase: UseCase, schema: Schema, digest: str, since: datetime, until: datetime, reference: pd.DataFrame
) -> dict[str, Any]:
    """The verdict's `quality`: label coverage, and each metric live and on the reference, of one bundle.

    Below 30 labels there are no metrics: their intervals would be too wide to tell anything.
    """
    of_bundle = f'"slipway.bundle_sha256" = {literal(digest)}'
    answered = _count(log.predictions(schema.usecase, since, until).filter(of_bundle))
    labels = log.labelled(schema.usecase, since, until, list(schema.classes) or None).filter(of_bundle)
    labelled, watched = _count(labels), QualityMetrics.of(usecase)
    live, promised = (
        (scores(_sample(labels), schema, watched), scores(reference, schema, watched))
        if labelled >= MIN_LABELS
        else ({}, {})
    )
    metrics = METRICS[schema.task]
    compared = {name: compare_score(metrics[name], score, promised.get(name)) for name, score in live.items()}
    return {
        "since": iso(since),
        "predictions": answered,
        "labelled": labelled,
        "coverage": labelled / answered if answered else 0.0,
        "label_delay_seconds": _median_delay(labels) if labelled else None,
        "metrics": compared,
        "sentence": _sentence(
            answered,
            labelled,
            [name for name, score in compared.items() if score["worse"]],
            [name for name in promised if name not in live],
        ),
    }


def scores(frame: pd.DataFrame, schema: Schema, watched: QualityMetrics) -> dict[str, Score]:
    """Compute the watched metrics over rows with `label`, `score` and `label_true` (or `value` and `value_true`).

    The log has the label of a multiclass prediction and not all its probabilities, so only metrics of labels are
    computed there. A metric that the rows do not define is left out: ROC AUC of one class, or an error that is not
    finite because a caller sent a label as large as numbers are.
    """
    rows = scored_predictions(schema, watched.cost, frame)
    metrics = {name: metric for name, metric in computable(schema.task, rows).items() if name in watched.names}
    found = intervals(rows, metrics, _ROUNDS)
    ordered = ((name, found[name]) for name in watched.names if name in found)
    return {
        name: Score(*interval)
        for name, interval in ordered
        if interval.value is not None and np.isfinite(interval).all()
    }


def compare_score(metric: Metric, live: Score, promised: Score | None) -> dict[str, Any]:
    """The live score with the reference's; `worse` where the intervals do not overlap, in the wrong direction."""
    if promised is None:
        return {**vars(live), "reference": None, "worse": False}
    worse = live.high < promised.low if metric.sign > 0 else live.low > promised.high
    return {**vars(live), "reference": vars(promised), "worse": worse}


def describe_metrics(names: Sequence[str]) -> str:
    """The titles of metrics in one line."""
    return ", ".join(TITLES[name] for name in names)


def _count(relation: DuckDBPyRelation) -> int:
    return relation.aggregate("count(*)").fetchall()[0][0]


def _median_delay(labels: DuckDBPyRelation) -> float:
    """Median seconds from a prediction to when its label was known."""
    return labels.aggregate("""median(epoch(known_at - "@timestamp"))""").fetchall()[0][0]


def _sample(labels: DuckDBPyRelation) -> pd.DataFrame:
    """At most 10,000 of the rows, always the same ones."""
    predicted = ", ".join(f'"slipway.{name}" AS "{name}"' for name in ("label", "score", "value"))
    return labels.order('md5("slipway.row_id")').limit(MAX_LABELS).select(f"{predicted}, label_true, value_true").df()


def _sentence(answered: int, labelled: int, worse: list[str], undefined: list[str]) -> str:
    if not labelled:
        return "There are no labels yet: the quality of the predictions is unknown."
    share = f"{labelled:,} of {answered:,} predictions have a label"
    if labelled < MIN_LABELS:
        return f"{share}; scores need at least {MIN_LABELS}."
    lost = f" These labels do not define {describe_metrics(undefined)}." if undefined else ""
    if worse:
        return f"{share}. Worse than on the reference: {describe_metrics(worse)}.{lost}"
    return f"{share}. The predictions are as good as on the reference, as far as the labels show.{lost}"
