"""Plots of the training curves and the holdout scores, as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.artifacts import History
from slipway.contracts.schema import Schema
from slipway.evaluation import metrics
from slipway.evaluation.metrics import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_MOST_NAMED = 20


def draw_plots(schema: Schema, rows: Scored, history: History, folder: Path) -> None:
    """Draw training curves, confusion matrix, reliability and ROC; in a regression predicted by true values."""
    folder.mkdir(parents=True)
    _save(folder / "training_curves.png", lambda axes: training_curves(axes, history))
    if schema.task == "regression":
        _save(folder / "predicted_against_true.png", lambda axes: predicted_against_true(axes, rows, schema))
        return
    _save(folder / "confusion_matrix.png", lambda axes: confusion_matrix(axes, rows, schema))
    _save(folder / "reliability.png", lambda axes: reliability(axes, rows, schema))
    _save(folder / "roc.png", lambda axes: roc(axes, rows, schema))


def training_curves(axes: Axes, history: History) -> None:
    """Draw the losses per epoch, with the epoch whose weights are kept."""
    epochs = np.arange(1, len(history["loss"]) + 1)
    for name in ("loss", "val_loss"):
        axes.plot(epochs, history[name], label="training" if name == "loss" else "validation")
    best = int(np.argmin(history["val_error"])) + 1
    axes.axvline(best, color="grey", linestyle=":", label=f"kept: epoch {best}")
    axes.set(xlabel="epoch", ylabel="loss", title="Training")
    axes.legend()


def confusion_matrix(axes: Axes, rows: Scored, schema: Schema) -> None:
    """Draw the counts of true by predicted class; up to 20 classes are named."""
    counts, k = metrics.confusion(rows), len(schema.classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if k <= _MOST_NAMED:
        for (i, j), count in np.ndenumerate(counts):
            axes.text(j, i, count, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
        axes.set_xticks(range(k), schema.classes, rotation=45 if max(map(len, schema.classes)) > 3 else 0)
        axes.set_yticks(range(k), schema.classes)
    axes.set(xlabel="predicted", ylabel="true", title="Holdout: confusion matrix")


def reliability(axes: Axes, rows: Scored, schema: Schema) -> None:
    """Draw observed frequency by predicted probability."""
    bins = metrics.calibration(rows)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    predicted, observed = [part["predicted"] for part in bins], [part["observed"] for part in bins]
    axes.plot(predicted, observed, marker="o")
    for part in bins:
        axes.annotate(
            str(part["rows"]), (part["predicted"], part["observed"]), xytext=(4, 4), textcoords="offset points"
        )
    what = f"P({schema.positive})" if schema.positive else "largest probability"
    axes.set(xlabel=f"predicted: {what}", ylabel="observed frequency", title="Holdout: reliability (with rows per bin)")


def roc(axes: Axes, rows: Scored, schema: Schema) -> None:
    """Draw one ROC curve for the positive class, or one for each class against the rest."""
    shown = range(len(schema.classes)) if rows.positive is None else [rows.positive]
    lines: list[Line2D] = []
    for k in shown:
        order = np.argsort(-rows.outputs[:, k], kind="stable")
        hits = (rows.truth == k)[order]
        found, false = np.cumsum(hits) / max(hits.sum(), 1), np.cumsum(~hits) / max((~hits).sum(), 1)
        lines += axes.plot([0, *false], [0, *found])
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="Holdout: ROC")
    if len(shown) <= _MOST_NAMED:
        axes.legend(lines, [schema.classes[k] for k in shown], loc="lower right")


def predicted_against_true(axes: Axes, rows: Scored, schema: Schema) -> None:
    """Draw predicted by true values, with the diagonal."""
    span = [float(rows.truth.min()), float(rows.truth.max())]
    axes.plot(span, span, color="grey", linestyle=":")
    axes.scatter(rows.truth, rows.outputs[:, 0], s=8, alpha=0.5)
    unit = f" ({schema.unit})" if schema.unit else ""
    axes.set(xlabel=f"true{unit}", ylabel=f"predicted{unit}", title=f"Holdout: {schema.target}")


def _save(path: Path, draw: Callable[[Axes], None]) -> None:
    """Save a figure without pyplot, which keeps every figure and selects a window system.

    Names are text: `$` begins no formula in them.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(6, 5), dpi=110, layout="constrained")
        draw(figure.subplots())
        figure.savefig(path)
