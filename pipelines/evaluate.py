"""The trained network's scores: on the holdout, with intervals, in the declared slices, beside a linear model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines import metrics, networks, plots, predictions
from pipelines.baseline import baseline
from pipelines.bootstrap import against_all, intervals
from pipelines.encoded import Encoded, encoded, read_frame
from pipelines.files import read_json, write_json
from pipelines.metrics import METRICS, PRIMARY, Scored
from pipelines.slices import parts
from slipway.schema import Schema
from slipway.usecase import UseCase


def evaluate(usecase: UseCase, split: Path, trained: Path, out: Path) -> None:
    """Leave `metrics.json`, `plots/` and the predictions of validation and holdout in `out`."""
    schema = Schema.load(trained / "schema.json")
    training = read_json(trained / "training.json")
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), training["temperature"])
    frames = {side: read_frame(split, side) for side in ("train", "validation", "holdout")}
    rows = {side: encoded(frame, schema) for side, frame in frames.items()}
    for side in ("validation", "holdout"):
        outputs = networks.predict(network, rows[side].features)
        predictions.table(schema, rows[side].target, outputs).to_parquet(out / f"{side}_predictions.parquet")
    held_out = predictions.read(schema, usecase.target.cost, pd.read_parquet(out / "holdout_predictions.parquet"))
    name = primary(usecase)
    write_json(
        out / "metrics.json",
        {
            "metric": name,
            "rows": {side: len(frame) for side, frame in frames.items()},
            "scores": {m: found._asdict() for m, found in intervals(held_out, METRICS[usecase.task]).items()},
            "calibration": _calibration(held_out, usecase.task, training["temperature"]),
            "confusion": confusion(held_out, schema),
            "slices": _slices(usecase, schema, frames["holdout"], held_out, name),
            "baseline": _baseline(usecase, schema, rows["train"], rows["holdout"], name),
        },
    )
    plots.draw(schema, held_out, read_json(trained / "history.json"), out / "plots")


def primary(usecase: UseCase) -> str:
    """The metric that comparisons and slices go by: `gates.metric`, else the task's own."""
    return usecase.gates.metric or PRIMARY[usecase.task]


def confusion(rows: Scored, schema: Schema) -> list[list[int]] | None:
    """Counts [true class][predicted class]; None for a regression."""
    k = len(schema.classes)
    return np.bincount(rows.truth * k + rows.label, minlength=k * k).reshape(k, k).tolist() if k else None


def _calibration(rows: Scored, task: str, temperature: float | None) -> dict[str, Any] | None:
    return None if task == "regression" else {"temperature": temperature, "bins": metrics.calibration(rows)}


def _slices(usecase: UseCase, schema: Schema, frame: pd.DataFrame, rows: Scored, name: str) -> list[dict[str, Any]]:
    """Each slice's score, and how much better it is than over all rows (less than 0: worse), with its interval."""
    metric = METRICS[usecase.task][name]
    return [
        {
            "feature": part.feature,
            "value": part.value,
            "rows": int(part.rows.sum()),
            "score": _or_none(metric.compute(rows.at(part.rows))),
            "difference": against_all(part.rows, rows, metric)._asdict(),
        }
        for part in parts(usecase, schema, frame)
    ]


def _baseline(usecase: UseCase, schema: Schema, train: Encoded, asked: Encoded, name: str) -> dict[str, Any] | None:
    found = baseline(schema, train, asked)
    if found is None:
        return None
    rows = metrics.scored(schema, usecase.target.cost, asked.target, found.outputs)
    return {"name": found.name, "metric": name, **intervals(rows, {name: METRICS[usecase.task][name]})[name]._asdict()}


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
