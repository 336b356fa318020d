"""Quality: how good the answers were, as far as their labels have come, beside how good they were on the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slipway.prediction_log.jsonl import literal
from slipway.timestamps import iso

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.contracts.schema import Schema
    from slipway.prediction_log import Log

LEAST_LABELS = 30
MOST_LABELS = 10_000
_RESAMPLES = 300
_SEED = 7
METRICS = {
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
}
_MORE_IS_BETTER = ("accuracy", "roc_auc", "r2")

Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def measure(log: Log, schema: Schema, version: str, since: datetime, until: datetime, reference: pd.DataFrame) -> dict:
    """The verdict's `quality`: label coverage, and each metric live and on the reference, of the watched version.

    Below 30 labels no metric is given: its interval would say nothing.
    """
    mine = f'"slipway.model_version" = {literal(version)}'
    answered = _count(log.predictions(schema.usecase, since, until).filter(mine))
    labelled = log.labelled(schema.usecase, since, until, list(schema.classes) or None).filter(mine)
    known = _count(labelled)
    live = scores(_sample(labelled), schema) if known >= LEAST_LABELS else {}
    promised = scores(reference, schema) if live else {}
    metrics = {name: compared(name, score, promised.get(name)) for name, score in live.items()}
    return {
        "since": iso(since),
        "predictions": answered,
        "labelled": known,
        "coverage": known / answered if answered else 0.0,
        "metrics": metrics,
        "sentence": _sentence(answered, known, [name for name, score in metrics.items() if score["worse"]]),
    }


def scores(frame: pd.DataFrame, schema: Schema) -> dict[str, Score]:
    """The task's metrics over rows with `label`, `score`, `label_true` (or `value`, `value_true`).

    `brier` is the mean squared distance of P(positive) from the truth. A metric that the rows do not define (ROC AUC of
    one class) is left out.
    """
    if schema.task == "regression":
        return _intervals(_REGRESSION, frame["value_true"].to_numpy(float), frame["value"].to_numpy(float))
    truth = frame["label_true"].astype(str).to_numpy(dtype=object)
    found = _intervals({"accuracy": _accuracy}, truth, frame["label"].astype(str).to_numpy(dtype=object))
    if schema.task == "binary":
        positive = (truth == schema.positive).astype(float)
        found |= _intervals({"roc_auc": _roc_auc, "brier": _brier}, positive, frame["score"].to_numpy(float))
    return found


def compared(name: str, live: Score, promised: Score | None) -> dict[str, Any]:
    """The live score beside the reference's; `worse` where even the intervals are apart, to the wrong side."""
    apart = promised and (live.high < promised.low if name in _MORE_IS_BETTER else live.low > promised.high)
    return {**vars(live), "reference": vars(promised) if promised else None, "worse": bool(apart)}


def _intervals(metrics: dict[str, Metric], truth: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
    """Percentile bootstrap over rows, seeded: the same rows give the same interval."""
    draws = np.random.default_rng(_SEED).integers(0, len(truth), size=(_RESAMPLES, len(truth)))
    found = {}
    for name, metric in metrics.items():
        value = metric(truth, predicted)
        resampled = np.array([metric(truth[draw], predicted[draw]) for draw in draws])
        if np.isfinite(value):
            low, high = np.nanquantile(resampled, [0.025, 0.975])
            found[name] = Score(float(value), float(low), float(high))
    return found


def _accuracy(truth: np.ndarray, label: np.ndarray) -> float:
    return float(np.mean(truth == label))


def _brier(truth: np.ndarray, score: np.ndarray) -> float:
    return float(np.mean((truth - score) ** 2))


def _roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """P(a positive scores higher than a negative), by ranks (Mann and Whitney); NaN where there is one class only."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(score)[truth == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def _mae(truth: np.ndarray, value: np.ndarray) -> float:
    return float(np.mean(np.abs(truth - value)))


def _rmse(truth: np.ndarray, value: np.ndarray) -> float:
    return float(np.sqrt(np.mean((truth - value) ** 2)))


def _r2(truth: np.ndarray, value: np.ndarray) -> float:
    spread = np.sum((truth - truth.mean()) ** 2)
    return float(1 - np.sum((truth - value) ** 2) / spread) if spread else float("nan")


def _count(relation: DuckDBPyRelation) -> int:
    return relation.aggregate("count(*)").fetchall()[0][0]


def _sample(labelled: DuckDBPyRelation) -> pd.DataFrame:
    """At most 10,000 of the rows, the same ones whoever asks."""
    predicted = ", ".join(f'"slipway.{name}" AS "{name}"' for name in ("label", "score", "value"))
    return (
        labelled.order('md5("slipway.row_id")').limit(MOST_LABELS).select(f"{predicted}, label_true, value_true").df()
    )


def _sentence(answered: int, known: int, worse: list[str]) -> str:
    if not known:
        return "No label has come yet: how good the answers are is not known."
    share = f"{known:,} of {answered:,} predictions have a label"
    if known < LEAST_LABELS:
        return f"{share}; scores are given from {LEAST_LABELS} on."
    if worse:
        return f"{share}. Worse than on the reference: {', '.join(METRICS[name] for name in worse)}."
    return f"{share}. The answers are as good as on the reference, as far as the labels tell."


_REGRESSION: dict[str, Metric] = {"mae": _mae, "rmse": _rmse, "r2": _r2}
