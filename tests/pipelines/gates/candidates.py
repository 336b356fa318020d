"""What training and evaluation leave for the gates, without a training: simple functions in place of networks.

>>> model = candidates.knowing(schema, frame, skill=0.8)      # right of the frame's rows to that degree
>>> made = candidates.evaluation(folder, usecase, split, model)
>>> candidates.answering(monkeypatch, {made.exported: (schema, model)})     # who answers for which folder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.data.dataset import target_values
from pipelines.packaging import prediction_table
from pipelines.steps.evaluate import measure
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.inference import rows_from_frame

Model = Callable[[Sequence[Mapping[str, Any]]], np.ndarray]


@dataclass(frozen=True)
class Evaluated:
    split: Path
    exported: Path
    evaluated: Path


def evaluation(folder: Path, usecase: UseCase, split: Path, model: Model) -> Evaluated:
    """`exported/serve/` with the schema alone, and `evaluated/` with the scores of what the model says."""
    made = Evaluated(split, folder / "exported", folder / "evaluated")
    (made.exported / "serve").mkdir(parents=True, exist_ok=True)
    made.evaluated.mkdir(exist_ok=True)
    schema = Schema.load(split / "schema.json")
    schema.save(made.exported / "serve" / "schema.json")
    frame = pd.read_parquet(split / "holdout.parquet")
    predictions = prediction_table.to_table(schema, target_values(frame, schema), model(rows_from_frame(schema, frame)))
    predictions.to_parquet(made.evaluated / "holdout_predictions.parquet")
    measure(usecase, schema, frame, predictions).write(made.evaluated)
    return made


def knowing(schema: Schema, frame: pd.DataFrame, skill: float, seed: int = 0) -> Model:
    """Knows the frame's rows by their email, whatever else is changed in them: 0 is guessing, 1 right, -1 wrong."""
    truth, guess = target_values(frame, schema), np.random.default_rng(seed).random(len(frame))
    near = 0.05 + 0.9 * (truth if skill >= 0 else 1 - truth)
    scores = dict(zip(frame["email"], abs(skill) * near + (1 - abs(skill)) * guess, strict=True))
    return lambda rows: probabilities([scores[row["email"]] for row in rows])


def probabilities(scores: Sequence[float]) -> np.ndarray:
    """Outputs of a binary network, float32 [n, 2], for those P(positive)."""
    score = np.array(scores, "float32")
    return np.stack([1 - score, score], axis=1)


def answering(monkeypatch: pytest.MonkeyPatch, known: Mapping[Path, tuple[Schema, Model]]) -> None:
    """Have each of these folders answered for by its model, a function of rows as requests hold them."""

    class Predictor:
        def __init__(self, folder: Path, device: str) -> None:
            self.schema, self._model = known[folder]

        def encode(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
            return rows

        def run(self, feeds: Sequence[Mapping[str, Any]]) -> np.ndarray:
            return self._model(feeds)

    monkeypatch.setattr("pipelines.gates.candidate.Predictor", Predictor)
