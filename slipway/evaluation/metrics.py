"""Metrics of predictions, each a function of scored rows; definitions and names as in scikit-learn's user guide.

They are plain numpy because each is computed a thousand times for its bootstrap interval; a test holds them equal to
scikit-learn's. One that the rows do not define (the ROC AUC of one class) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slipway.config import Cost
from slipway.contracts.schema import Schema

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Scored:
    """Rows with the truth [n] and a model's outputs [n, k], as the bundle promises them.

    `truth` and `label` are indices of classes, `positive` the positive class's (None but for binary tasks); in a
    regression `truth` and `outputs` [n, 1] are in the target's unit and `label` is zero. Outputs that are not known,
    since only labels were kept of the predictions, are NaN.
    """

    truth: np.ndarray
    outputs: np.ndarray
    label: np.ndarray
    positive: int | None = None
    cost: Cost | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, rows: np.ndarray) -> Scored:
        """Select rows by a mask, or by indices with repetitions."""
        return replace(self, truth=self.truth[rows], outputs=self.outputs[rows], label=self.label[rows])


def scored(schema: Schema, cost: Cost | None, truth: np.ndarray, outputs: np.ndarray) -> Scored:
    """Decide labels by outputs [n, k]: by the threshold in a binary task, else by the largest."""
    if schema.positive_index is None:
        label = outputs.argmax(axis=1) if schema.classes else np.zeros(len(truth), "int64")
        return Scored(truth, outputs, label)
    positive = schema.positive_index
    above = outputs[:, positive] >= (0.5 if schema.threshold is None else schema.threshold)
    return Scored(truth, outputs, np.where(above, positive, 1 - positive), positive, cost or Cost())


def scored_predictions(schema: Schema, cost: Cost | None, rows: Mapping[str, Sequence[Any]]) -> Scored:
    """Score predictions as the log has them, with the labels that the model gave.

    Args:
        schema: the classes and the positive one.
        cost: of the use case's target.
        rows: columns `label`, `label_true` and `score` (of binary tasks: P(positive)), or `value` and `value_true`.
            An unknown true label is a class of its own, which no prediction meets.
    """
    if schema.task == "regression":
        truth = np.asarray(rows["value_true"], "float64")
        outputs = np.asarray(rows["value"], "float64")[:, None]
        return Scored(truth, outputs, np.zeros(len(truth), "int64"))
    index = {name: number for number, name in enumerate(schema.classes)}
    truth, label = (
        np.array([index.get(str(name), -1) for name in rows[key]], "int64") for key in ("label_true", "label")
    )
    positive = schema.positive_index
    if positive is None:
        return Scored(truth, np.full((len(truth), len(index)), np.nan), label)
    score = np.asarray(rows["score"], "float64")
    outputs = np.column_stack([score, 1 - score] if positive == 0 else [1 - score, score])
    return Scored(truth, outputs, label, positive, cost or Cost())


@dataclass(frozen=True)
class Metric:
    """A metric, and in words what it measures; `sign` is 1 if more is better, else -1.

    One `of_labels` needs no outputs. One without `shows_skill` can be best for a constant prediction, as recall
    is where every row is predicted positive.
    """

    title: str
    compute: Callable[[Scored], float]
    sign: int
    meaning: str
    of_labels: bool = False
    shows_skill: bool = True


def computable(task: str, rows: Scored) -> dict[str, Metric]:
    """Select the task's metrics that the rows have what it takes for: without outputs, those of labels alone."""
    known = bool(np.isfinite(rows.outputs).all())
    return {name: metric for name, metric in METRICS[task].items() if known or metric.of_labels}


def accuracy(rows: Scored) -> float:
    return float(np.mean(rows.label == rows.truth))


def balanced_accuracy(rows: Scored) -> float:
    """The mean recall of the classes that occur."""
    return float(np.mean([np.mean(rows.label[rows.truth == k] == k) for k in np.unique(rows.truth)]))


def f1_macro(rows: Scored) -> float:
    """The mean F1 of the classes that occur, or were predicted."""
    classes = np.union1d(rows.truth, rows.label)
    hits = [np.sum((rows.truth == k) & (rows.label == k)) for k in classes]
    both = [np.sum(rows.truth == k) + np.sum(rows.label == k) for k in classes]
    return float(np.mean(2 * np.array(hits) / np.array(both)))


def precision(rows: Scored) -> float:
    """The share of true positives among the rows that are predicted positive; NaN if there are none."""
    predicted = rows.label == rows.positive
    return float(np.mean(rows.truth[predicted] == rows.positive)) if predicted.any() else float("nan")


def recall(rows: Scored) -> float:
    """The share of the positive rows that are predicted positive; NaN if there are none."""
    positive = rows.truth == rows.positive
    return float(np.mean(rows.label[positive] == rows.positive)) if positive.any() else float("nan")


def precision_macro(rows: Scored) -> float:
    """The mean precision of the classes that occur, or were predicted; 0 for one that was not predicted."""
    return _mean_share(rows, among=rows.label)


def recall_macro(rows: Scored) -> float:
    """The mean recall of the classes that occur, or were predicted; 0 for one that does not occur."""
    return _mean_share(rows, among=rows.truth)


def log_loss(rows: Scored) -> float:
    """Mean of -log p of the true class."""
    p = rows.outputs[np.arange(len(rows)), rows.truth]
    return float(-np.log(np.clip(p.astype("float64"), 1e-15, 1)).mean())


def brier(rows: Scored) -> float:
    """Mean squared distance of P(positive) from the truth; summed over the classes where there is no positive one."""
    if rows.positive is not None:
        return float(np.mean((rows.outputs[:, rows.positive] - (rows.truth == rows.positive)) ** 2))
    distances = (rows.outputs - np.eye(rows.outputs.shape[1])[rows.truth]) ** 2
    return float(distances.sum(axis=1).mean())


def roc_auc(rows: Scored) -> float:
    """P(a positive row scores higher than a negative one); without a positive class, the mean of each against all."""
    if rows.positive is not None:
        return _auc(rows.truth == rows.positive, rows.outputs[:, rows.positive])
    return float(np.mean([_auc(rows.truth == k, rows.outputs[:, k]) for k in range(rows.outputs.shape[1])]))


def average_precision(rows: Scored) -> float:
    """The precision at each score, weighted by the recall that it adds."""
    assert rows.positive is not None
    truth, score = rows.truth == rows.positive, rows.outputs[:, rows.positive]
    if not truth.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits, ends = np.cumsum(truth[order]), np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    recall = hits[ends] / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0) * hits[ends] / (ends + 1)))


def expected_cost(rows: Scored) -> float:
    """The mean cost of a row's decision, in the unit of `target.cost`."""
    assert rows.positive is not None and rows.cost is not None
    missed = np.mean((rows.truth == rows.positive) & (rows.label != rows.positive))
    false = np.mean((rows.truth != rows.positive) & (rows.label == rows.positive))
    return float(missed * rows.cost.false_negative + false * rows.cost.false_positive)


def ece(rows: Scored) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance of confidence from frequency over its bins."""
    return float(sum(bin["rows"] * abs(bin["predicted"] - bin["observed"]) for bin in calibration(rows)) / len(rows))


def calibration(rows: Scored) -> list[dict[str, float]]:
    """Compare mean prediction and frequency in ten bins of equal width: of P(positive), or the largest probability."""
    if rows.positive is not None:
        predicted, happened = rows.outputs[:, rows.positive], rows.truth == rows.positive
    else:
        predicted, happened = rows.outputs.max(axis=1), rows.outputs.argmax(axis=1) == rows.truth
    bins = np.minimum((predicted * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    sums = np.bincount(bins, predicted, CALIBRATION_BINS), np.bincount(bins, happened, CALIBRATION_BINS)
    return [
        {"rows": int(count[k]), "predicted": float(sums[0][k] / count[k]), "observed": float(sums[1][k] / count[k])}
        for k in np.flatnonzero(count)
    ]


def confusion(rows: Scored) -> np.ndarray:
    """Counts of rows, int64 [true class, predicted class]."""
    k = rows.outputs.shape[1]
    return np.bincount(rows.truth * k + rows.label, minlength=k * k).reshape(k, k)


def rmse(rows: Scored) -> float:
    return float(np.sqrt(np.mean((rows.outputs[:, 0] - rows.truth) ** 2)))


def mae(rows: Scored) -> float:
    return float(np.mean(np.abs(rows.outputs[:, 0] - rows.truth)))


def r2(rows: Scored) -> float:
    """The share of the target's variance that the model explains."""
    variance = np.mean((rows.truth - rows.truth.mean()) ** 2)
    return float(1 - np.mean((rows.outputs[:, 0] - rows.truth) ** 2) / variance) if variance else float("nan")


def _mean_share(rows: Scored, among: np.ndarray) -> float:
    """For each class the share of right predictions among the rows that `among` assigns to it; their mean."""
    classes = np.union1d(rows.truth, rows.label)
    right = rows.label == rows.truth
    return float(np.mean([right[among == k].mean() if (among == k).any() else 0.0 for k in classes]))


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
    """By ranks (Mann and Whitney), equal scores sharing theirs."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


_CLASSES = {
    "accuracy": Metric("accuracy", accuracy, 1, "the share of rows that get the right class", of_labels=True),
    "balanced_accuracy": Metric(
        "balanced accuracy", balanced_accuracy, 1, "the share of a class's rows that are found, mean", of_labels=True
    ),
    "f1_macro": Metric(
        "macro F1", f1_macro, 1, "the harmonic mean of a class's precision and recall, mean", of_labels=True
    ),
    "roc_auc": Metric("ROC AUC", roc_auc, 1, "how often a row of the class scores above one of another; guessing 0.5"),
    "log_loss": Metric("log loss", log_loss, -1, "how improbable the true classes were to the model; less is better"),
    "brier": Metric("Brier score", brier, -1, "the squared error of the probabilities; less is better"),
    "ece": Metric(
        "expected calibration error",
        ece,
        -1,
        "the distance of probabilities from frequencies; less is better",
        shows_skill=False,
    ),
}
_POSITIVE = {
    "precision": Metric(
        "precision",
        precision,
        1,
        "the share of rows predicted positive that are positive",
        of_labels=True,
        shows_skill=False,
    ),
    "recall": Metric(
        "recall", recall, 1, "the share of positive rows that are found", of_labels=True, shows_skill=False
    ),
    "average_precision": Metric(
        "average precision", average_precision, 1, "the precision over all thresholds; guessing the share of positives"
    ),
    "expected_cost": Metric(
        "expected cost", expected_cost, -1, "the mean cost of a decision; less is better", of_labels=True
    ),
}
_EACH_CLASS = {
    "precision_macro": Metric(
        "macro precision",
        precision_macro,
        1,
        "the share of right predictions among a class's predictions, mean",
        of_labels=True,
    ),
    "recall_macro": Metric(
        "macro recall", recall_macro, 1, "the share of a class's rows that are found, mean", of_labels=True
    ),
}
METRICS: dict[str, dict[str, Metric]] = {
    "binary": {**_CLASSES, **_POSITIVE},
    "multiclass": {**_CLASSES, **_EACH_CLASS},
    "regression": {
        "r2": Metric("R²", r2, 1, "the share of the target's variance that is explained; 0 is as good as its mean"),
        "rmse": Metric("root mean squared error", rmse, -1, "the usual error in the target's unit; less is better"),
        "mae": Metric("mean absolute error", mae, -1, "the mean error in the target's unit; less is better"),
    },
}
PRIMARY = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}
# What can show skill where the primary metric cannot: of rare classes, which accuracy hardly counts, and with outliers.
_SECONDARY = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}


def skill_metric(task: str, name: str) -> str:
    """Return the metric's name, or the task's primary one if a constant prediction can be best by it."""
    return name if METRICS[task][name].shows_skill else PRIMARY[task]


def skill_metrics(task: str, name: str) -> list[str]:
    """Return the metrics by which a model may be shown to be better than one that knows no feature, the first first."""
    return list(dict.fromkeys((skill_metric(task, name), _SECONDARY[task])))
