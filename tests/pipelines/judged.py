"""What training and evaluation leave for the gates, without a training.

>>> made = judged.evaluation(folder, usecase, split, skill=0.8)    # scores of the holdout that are right to that degree
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines import predictions
from pipelines.encoded import target
from pipelines.evaluate import measure
from pipelines.files import write_json
from slipway.schema import Schema
from slipway.usecase import UseCase


@dataclass(frozen=True)
class Judged:
    split: Path
    trained: Path
    evaluated: Path


def evaluation(folder: Path, usecase: UseCase, split: Path, skill: float, seed: int = 0) -> Judged:
    """`trained/` with the schema, `evaluated/` with scores of made-up outputs: 0 is guessing, 1 always right."""
    made = Judged(split, folder / "trained", folder / "evaluated")
    made.trained.mkdir(parents=True)
    made.evaluated.mkdir()
    schema = Schema.load(split / "schema.json")
    schema.save(made.trained / "schema.json")
    frame = pd.read_parquet(split / "holdout.parquet")
    truth = target(frame, schema)
    said = predictions.table(schema, truth, outputs(truth, skill, seed))
    said.to_parquet(made.evaluated / "holdout_predictions.parquet")
    write_json(made.evaluated / "metrics.json", measure(usecase, schema, frame, said))
    return made


def outputs(truth: np.ndarray, skill: float, seed: int = 0) -> np.ndarray:
    """P(positive) near the truth by `skill`, float32 [n, 2]."""
    guess = np.random.default_rng(seed).random(len(truth))
    score = skill * (0.05 + 0.9 * truth) + (1 - skill) * guess
    return np.stack([1 - score, score], axis=1).astype("float32")
