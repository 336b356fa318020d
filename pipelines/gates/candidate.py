"""Candidate under evaluation: the new model, the champion if there is one, and the rows that both are evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.baseline_models import BaselineModel, fit_linear, fit_trivial
from pipelines.data.dataset import encode_rows, read_rows, read_side, target_values
from pipelines.packaging import prediction_table
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.evaluation.bootstrap import Interval, fall
from slipway.evaluation.metrics import METRICS, Metric, Scored, scored, skill_metric
from slipway.inference import Predictor, Row, rows_from_frame

_PREDICTED_AT_ONCE = 1000


@dataclass(frozen=True)
class Rows:
    """Labelled rows in a file, and their name in sentences."""

    name: str
    path: Path

    def __len__(self) -> int:
        import pyarrow.parquet

        return pyarrow.parquet.read_metadata(self.path).num_rows

    def __str__(self) -> str:
        return f"{self.name} ({len(self):,} rows)"


@dataclass(frozen=True)
class Candidate:
    """New model (`exported/serve`) with its evaluation; the champion's bundle and the newest labelled rows, if any.

    `metric_name` is the metric that comparisons and slices use.
    """

    usecase: UseCase
    metric_name: str
    split: Path
    exported: Path
    evaluated: Path
    champion: Path | None = None
    newest: Path | None = None

    @property
    def metric(self) -> Metric:
        """Metric that comparisons and slices use."""
        return METRICS[self.usecase.task][self.metric_name]

    @property
    def skill_metric(self) -> Metric:
        """Metric that comparisons with baseline models use: no constant prediction is best by it."""
        return METRICS[self.usecase.task][skill_metric(self.usecase.task, self.metric_name)]

    @cached_property
    def challenger(self) -> Predictor:
        """Predictor of the new model."""
        return Predictor(self.exported, "cpu")

    @cached_property
    def incumbent(self) -> Predictor | None:
        """Predictor of the champion."""
        return Predictor(self.champion, "cpu") if self.champion else None

    def trivial(self, metric: str) -> BaselineModel:
        """Fit the baseline model that knows no feature and is best by the metric."""
        return fit_trivial(self.challenger.schema, self._train_target, metric)

    @cached_property
    def _train_target(self) -> np.ndarray:
        schema = self.challenger.schema
        return target_values(read_side(self.split, "train", schema), schema)

    @cached_property
    def linear(self) -> BaselineModel | None:
        """Linear baseline model; None for images."""
        schema = self.challenger.schema
        if schema.images:
            return None
        return fit_linear(schema, encode_rows(read_side(self.split, "train", schema), schema))

    @cached_property
    def baseline(self) -> BaselineModel:
        """Baseline model to be better than: the linear one, or for images the trivial one."""
        return self.linear or self.trivial(skill_metric(self.usecase.task, self.metric_name))

    @property
    def comparable(self) -> bool:
        """Whether there is a champion with the same task and classes."""
        return self.incumbent is not None and _classes(self.incumbent.schema) == _classes(self.challenger.schema)

    @property
    def holdout(self) -> Rows:
        """Frozen holdout."""
        return Rows("the frozen holdout", self.split / "holdout.parquet")

    @property
    def window(self) -> Rows | None:
        """Newest labelled predictions, which are not trained on."""
        return Rows("the newest labelled window", self.newest) if self.newest else None

    @cached_property
    def degraded(self) -> Interval | None:
        """Difference of the champion's score on the window from that on the holdout, if it is significantly worse.

        None if the upper end of the difference is not below the margin, or there is no champion or no window.
        """
        if not self.comparable or self.window is None:
            return None
        found = fall(self.score_champion(self.window), self.score_champion(self.holdout), self.metric)
        return found if found.high is not None and found.high < -self.usecase.gates.margin else None

    @property
    def current(self) -> Rows:
        """Rows of the current population: the window if the champion has degraded on it, else the holdout."""
        return self.window if self.window is not None and self.degraded else self.holdout

    def score_challenger(self, rows: Rows) -> Scored:
        """Score the new model on the rows; predictions on the holdout are those of the evaluation."""
        if rows == self.holdout:
            predictions = pd.read_parquet(self.evaluated / "holdout_predictions.parquet")
            return prediction_table.to_scored(self.challenger.schema, self.usecase.target.cost, predictions)
        return self._score(self.challenger, rows)

    def score_champion(self, rows: Rows) -> Scored:
        """Score the champion on the rows."""
        assert self.incumbent is not None
        return self._score(self.incumbent, rows)

    def score_baseline(self, model: BaselineModel, rows: Rows) -> Scored:
        """Score a baseline model on the rows."""
        schema = self.challenger.schema
        found = encode_rows(read_frame(rows, schema), schema)
        return scored(schema, self.usecase.target.cost, found.target, model.predict(found.features))

    def _score(self, predictor: Predictor, rows: Rows) -> Scored:
        frame = read_frame(rows, predictor.schema)
        outputs = predict(predictor, rows_from_frame(predictor.schema, frame))
        return scored(predictor.schema, self.usecase.target.cost, target_values(frame, predictor.schema), outputs)


def read_frame(rows: Rows, schema: Schema) -> pd.DataFrame:
    """Read the rows with every feature of the schema."""
    return read_rows(rows.path, schema)


def predict(predictor: Predictor, rows: Sequence[Row]) -> np.ndarray:
    """Return the model's outputs, float32 [n, k]."""
    starts = range(0, len(rows), _PREDICTED_AT_ONCE)
    return np.concatenate([predictor.run(predictor.encode(rows[at : at + _PREDICTED_AT_ONCE])) for at in starts])


def _classes(schema: Schema) -> tuple[Any, ...]:
    return schema.task, schema.classes, schema.positive
