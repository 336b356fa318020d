"""Evaluate the trained network on the holdout: scores with intervals, in slices, and compared with baseline models."""

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
from pipelines.baseline_models import BaselineModel, fit_linear, fit_trivial
from pipelines.data.dataset import EncodedRows, encode_rows, read_side
from pipelines.modeling import networks
from pipelines.packaging import plots, prediction_table
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.evaluation import metrics, slices
from slipway.evaluation.bootstrap import difference, intervals
from slipway.evaluation.metrics import METRICS, PRIMARY, Scored, skill_metrics


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
    holdout = prediction_table.to_scored(schema, usecase.target.cost, predictions["holdout"])
    trivial = _score_trivial(usecase, schema, rows, holdout)
    linear = fit_linear(schema, rows["train"])
    msgspec.structs.replace(
        measure(usecase, schema, frames["holdout"], predictions["holdout"]),
        rows={side: len(frame) for side, frame in frames.items()},
        temperature=temperature,
        trivial=trivial,
        baseline=linear and _score_baseline(usecase, schema, linear, trivial.metric, rows["holdout"], holdout),
    ).write(out)
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


def _score_trivial(usecase: UseCase, schema: Schema, rows: dict[str, EncodedRows], network: Scored) -> BaselineScore:
    """Score the model that knows no feature by the first metric that shows the network to be better, else the first."""
    scores = []
    for name in skill_metrics(usecase.task, primary(usecase)):
        model = fit_trivial(schema, rows["train"].target, name)
        scores.append(_score_baseline(usecase, schema, model, name, rows["holdout"], network))
        if scores[-1].is_beaten:
            return scores[-1]
    return scores[0]


def _score_baseline(
    usecase: UseCase, schema: Schema, model: BaselineModel, name: str, holdout: EncodedRows, network: Scored
) -> BaselineScore:
    """Score a baseline model on the holdout, and compare the network's predictions of the same rows."""
    rows = metrics.scored(schema, usecase.target.cost, holdout.target, model.predict(holdout.features))
    metric = METRICS[usecase.task][name]
    score, better = intervals(rows, {name: metric})[name], difference(network, rows, metric)
    return BaselineScore(
        name=model.name,
        metric=name,
        value=score.value,
        low=score.low,
        high=score.high,
        difference=Score(*better),
    )
