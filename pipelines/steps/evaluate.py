"""Evaluate the trained network on the holdout: scores with intervals, in slices, and compared with a naive model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from pipelines.artifacts import (
    BaselineScore,
    CalibrationBin,
    EvaluationReport,
    Score,
    SliceScore,
    TrainingReport,
    read_history,
)
from pipelines.data.dataset import EncodedRows, encode_rows, read_side
from pipelines.modeling import networks
from pipelines.modeling.baseline import fit_naive_model
from pipelines.packaging import plots, prediction_table
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.evaluation import metrics, slices
from slipway.evaluation.bootstrap import intervals
from slipway.evaluation.metrics import METRICS, PRIMARY


def evaluate(usecase: UseCase, split: Path, trained: Path, out: Path) -> None:
    """Write `metrics.json`, `plots/` and the predictions on validation and holdout into `out`."""
    schema = Schema.load(trained / "schema.json")
    temperature = TrainingReport.read(trained).temperature
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), temperature)
    frames = {side: read_side(split, side, schema) for side in ("train", "validation", "holdout")}
    rows = {side: encode_rows(frame, schema) for side, frame in frames.items()}
    predictions = {side: _predict(network, schema, rows[side]) for side in ("validation", "holdout")}
    for side, table in predictions.items():
        table.to_parquet(out / f"{side}_predictions.parquet")
    msgspec.structs.replace(
        measure(usecase, schema, frames["holdout"], predictions["holdout"]),
        rows={side: len(frame) for side, frame in frames.items()},
        temperature=temperature,
        baseline=_score_baseline(usecase, schema, rows["train"], rows["holdout"]),
    ).write(out)
    holdout = prediction_table.to_scored(schema, usecase.target.cost, predictions["holdout"])
    plots.draw_plots(schema, holdout, read_history(trained), out / "plots")


def measure(usecase: UseCase, schema: Schema, frame: pd.DataFrame, predictions: pd.DataFrame) -> EvaluationReport:
    """Score the predictions of the frame's rows: scores with intervals, confusion, calibration and slices."""
    rows, name = prediction_table.to_scored(schema, usecase.target.cost, predictions), primary(usecase)
    bins = metrics.calibration(rows) if schema.classes else None
    parts = slices.scores(usecase, schema, frame, rows, METRICS[usecase.task][name])
    return EvaluationReport(
        metric=name,
        scores={metric: Score(*found) for metric, found in intervals(rows, METRICS[usecase.task]).items()},
        calibration=msgspec.convert(bins, list[CalibrationBin] | None),
        confusion=metrics.confusion(rows).tolist() if schema.classes else None,
        slices=msgspec.convert(parts, list[SliceScore]),
    )


def primary(usecase: UseCase) -> str:
    """Return the metric that comparisons and slices use: `gates.metric`, else the default of the task."""
    return usecase.gates.metric or PRIMARY[usecase.task]


def _predict(network: Any, schema: Schema, rows: EncodedRows) -> pd.DataFrame:
    return prediction_table.to_table(schema, rows.target, networks.predict(network, rows.features))


def _score_baseline(usecase: UseCase, schema: Schema, train: EncodedRows, holdout: EncodedRows) -> BaselineScore | None:
    """Score the naive model on the holdout; None for images."""
    naive, name = fit_naive_model(schema, train, holdout), primary(usecase)
    if naive is None:
        return None
    rows = metrics.scored(schema, usecase.target.cost, holdout.target, naive.outputs)
    score = intervals(rows, {name: METRICS[usecase.task][name]})[name]
    return BaselineScore(name=naive.name, metric=name, value=score.value, low=score.low, high=score.high)
