"""The trained network's scores: on the holdout, with intervals, in the declared slices, beside a linear model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.artifacts import read_json, write_json
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
    """Leave `metrics.json`, `plots/` and the predictions of validation and holdout in `out`."""
    schema = Schema.load(trained / "schema.json")
    temperature = read_json(trained / "training.json")["temperature"]
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), temperature)
    frames = {side: read_side(split, side, schema) for side in ("train", "validation", "holdout")}
    rows = {side: encode_rows(frame, schema) for side, frame in frames.items()}
    said = {side: _predicted(network, schema, rows[side]) for side in ("validation", "holdout")}
    for side, table in said.items():
        table.to_parquet(out / f"{side}_predictions.parquet")
    facts = {
        "rows": {side: len(frame) for side, frame in frames.items()},
        "temperature": temperature,
        "baseline": _baseline(usecase, schema, rows["train"], rows["holdout"]),
    }
    write_json(out / "metrics.json", {**measure(usecase, schema, frames["holdout"], said["holdout"]), **facts})
    held_out = prediction_table.to_scored(schema, usecase.target.cost, said["holdout"])
    plots.draw_plots(schema, held_out, read_json(trained / "history.json"), out / "plots")


def measure(usecase: UseCase, schema: Schema, frame: pd.DataFrame, said: pd.DataFrame) -> dict[str, Any]:
    """The scores of what was said of the frame's rows: as a whole with intervals, by class, by bin and by slice."""
    rows, name = prediction_table.to_scored(schema, usecase.target.cost, said), primary(usecase)
    return {
        "metric": name,
        "scores": {m: found._asdict() for m, found in intervals(rows, METRICS[usecase.task]).items()},
        "calibration": metrics.calibration(rows) if schema.classes else None,
        "confusion": metrics.confusion(rows).tolist() if schema.classes else None,
        "slices": slices.scores(usecase, schema, frame, rows, METRICS[usecase.task][name]),
    }


def primary(usecase: UseCase) -> str:
    """The metric that comparisons and slices go by: `gates.metric`, else the task's own."""
    return usecase.gates.metric or PRIMARY[usecase.task]


def _predicted(network: Any, schema: Schema, rows: EncodedRows) -> pd.DataFrame:
    return prediction_table.to_table(schema, rows.target, networks.predict(network, rows.features))


def _baseline(usecase: UseCase, schema: Schema, train: EncodedRows, asked: EncodedRows) -> dict[str, Any] | None:
    found, name = fit_naive_model(schema, train, asked), primary(usecase)
    if found is None:
        return None
    rows = metrics.scored(schema, usecase.target.cost, asked.target, found.outputs)
    return {"name": found.name, "metric": name, **intervals(rows, {name: METRICS[usecase.task][name]})[name]._asdict()}
