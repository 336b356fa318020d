"""What is being judged: a new model, the champion where there is one, and the rows that both are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.dataset import read_rows, target_values
from pipelines.packaging import prediction_table
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.evaluation.bootstrap import Interval, fall
from slipway.evaluation.metrics import METRICS, Metric, Scored, scored
from slipway.inference import Predictor, Row, rows_from_frame

_PREDICTED_AT_ONCE = 1000


@dataclass(frozen=True)
class Rows:
    """Labelled rows in a file, and the name that sentences give them."""

    name: str
    path: Path

    def __len__(self) -> int:
        import pyarrow.parquet

        return pyarrow.parquet.read_metadata(self.path).num_rows

    def __str__(self) -> str:
        return f"{self.name} ({len(self):,} rows)"


@dataclass(frozen=True)
class Candidate:
    """A new model (`exported/serve`) with its scores; the champion's bundle and the newest rows where there are any."""

    usecase: UseCase
    metrics: dict[str, Any]
    split: Path
    exported: Path
    evaluated: Path
    champion: Path | None = None
    newest: Path | None = None

    @property
    def metric(self) -> Metric:
        """The metric that comparisons and slices go by."""
        return METRICS[self.usecase.task][self.metrics["metric"]]

    @cached_property
    def challenger(self) -> Predictor:
        return Predictor(self.exported, "cpu")

    @cached_property
    def incumbent(self) -> Predictor | None:
        return Predictor(self.champion, "cpu") if self.champion else None

    @property
    def comparable(self) -> bool:
        """Whether there is a champion, and it answers the same question."""
        return self.incumbent is not None and _classes(self.incumbent.schema) == _classes(self.challenger.schema)

    @property
    def holdout(self) -> Rows:
        return Rows("the frozen holdout", self.split / "holdout.parquet")

    @property
    def window(self) -> Rows | None:
        return Rows("the newest labelled window", self.newest) if self.newest else None

    @cached_property
    def fallen(self) -> Interval | None:
        """How far the champion's score on the window lies below its score on the holdout, where that is significant.

        None where even the upper end of the difference is not below the margin, or there is nothing to look at.
        """
        if not self.comparable or self.window is None:
            return None
        found = fall(self.of_champion(self.window), self.of_champion(self.holdout), self.metric)
        return found if found.high is not None and found.high < -self.usecase.gates.margin else None

    @property
    def current(self) -> Rows:
        """The rows whose labels follow today's rule: the window where the champion has fallen on it."""
        return self.window if self.window is not None and self.fallen else self.holdout

    def of_challenger(self, rows: Rows) -> Scored:
        if rows == self.holdout:
            said = pd.read_parquet(self.evaluated / "holdout_predictions.parquet")
            return prediction_table.to_scored(self.challenger.schema, self.usecase.target.cost, said)
        return self._scored(self.challenger, rows)

    def of_champion(self, rows: Rows) -> Scored:
        assert self.incumbent is not None
        return self._scored(self.incumbent, rows)

    def _scored(self, predictor: Predictor, rows: Rows) -> Scored:
        frame = read_frame(rows, predictor.schema)
        said = predict(predictor, rows_from_frame(predictor.schema, frame))
        return scored(predictor.schema, self.usecase.target.cost, target_values(frame, predictor.schema), said)


def read_frame(rows: Rows, schema: Schema) -> pd.DataFrame:
    """The rows with every feature of the schema."""
    return read_rows(rows.path, schema)


def predict(predictor: Predictor, rows: Sequence[Row]) -> np.ndarray:
    """float32 [n, k], as the bundle promises them."""
    starts = range(0, len(rows), _PREDICTED_AT_ONCE)
    return np.concatenate([predictor.run(predictor.encode(rows[at : at + _PREDICTED_AT_ONCE])) for at in starts])


def _classes(schema: Schema) -> tuple[Any, ...]:
    return schema.task, schema.classes, schema.positive
