"""What training and evaluation leave for the gates, without a training: made-up models in place of networks.

>>> made = judged.evaluation(folder, usecase, split, skill=0.8)    # right of the holdout to that degree
>>> judged.models(monkeypatch, {made.exported: model})              # who answers for which folder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines import predictions
from pipelines.encoded import target
from pipelines.evaluate import measure
from pipelines.files import write_json
from slipway.schema import Schema
from slipway.usecase import UseCase

Model = Callable[[Sequence[Mapping[str, Any]]], np.ndarray]


@dataclass(frozen=True)
class Judged:
    split: Path
    exported: Path
    evaluated: Path


def evaluation(folder: Path, usecase: UseCase, split: Path, skill: float, seed: int = 0) -> Judged:
    """`exported/serve/` with the schema, `evaluated/` with scores of made-up outputs: 0 is guessing, 1 always right."""
    made = Judged(split, folder / "exported", folder / "evaluated")
    (made.exported / "serve").mkdir(parents=True)
    made.evaluated.mkdir()
    schema = Schema.load(split / "schema.json")
    schema.save(made.exported / "serve" / "schema.json")
    frame = pd.read_parquet(split / "holdout.parquet")
    truth = target(frame, schema)
    said = predictions.table(schema, truth, outputs(truth, skill, seed))
    said.to_parquet(made.evaluated / "holdout_predictions.parquet")
    write_json(made.evaluated / "metrics.json", measure(usecase, schema, frame, said))
    return made


def outputs(truth: np.ndarray, skill: float, seed: int = 0) -> np.ndarray:
    """P(positive) near the truth by `skill` (below 0: far from it), float32 [n, 2]."""
    guess = np.random.default_rng(seed).random(len(truth))
    hit = truth if skill >= 0 else 1 - truth
    score = abs(skill) * (0.05 + 0.9 * hit) + (1 - abs(skill)) * guess
    return probabilities(score)


def probabilities(score: np.ndarray) -> np.ndarray:
    return np.stack([1 - score, score], axis=1).astype("float32")


def models(monkeypatch: pytest.MonkeyPatch, known: Mapping[Path, tuple[Schema, Model]]) -> None:
    """Have each of these folders answered for by its model, a function of rows as requests hold them."""

    class Predictor:
        def __init__(self, folder: Path, device: str) -> None:
            self.schema, self._model = known[folder]

        def encode(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
            return rows

        def run(self, feeds: Sequence[Mapping[str, Any]]) -> np.ndarray:
            return self._model(feeds)

    monkeypatch.setattr("pipelines.gates.judged.Predictor", Predictor)
