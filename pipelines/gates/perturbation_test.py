"""Perturbation test: the model's predictions of rows before and after these are changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.data.dataset import target_values
from pipelines.gates.candidate import Candidate, predict, read_frame
from slipway.evaluation.metrics import Scored, scored
from slipway.inference import Row, encode, rows_from_frame

MOST_ROWS = 2000
SEED = 7
# A regression has no decision: a value that moves by a tenth of the target's standard deviation counts as changed.
_CHANGED_VALUE = 0.1
_CHANGED_VALUE_IN_WORDS = "a tenth of the target's standard deviation, which counts as a changed decision"


@dataclass(frozen=True)
class PerturbationTest:
    """At most 2,000 of the current rows with their true labels; `where` names the rows in a sentence."""

    candidate: Candidate
    where: str
    rows: list[Row]
    truth: np.ndarray

    @classmethod
    def of(cls, candidate: Candidate) -> PerturbationTest:
        """Draw the rows of a test of the candidate."""
        schema = candidate.challenger.schema
        frame = read_frame(candidate.current, schema)
        some = frame.sample(MOST_ROWS, random_state=SEED) if len(frame) > MOST_ROWS else frame
        where = f"On {len(some):,} rows of {candidate.current.name}"
        return cls(candidate, where, rows_from_frame(schema, some), target_values(some, schema))

    def predict(self, rows: Sequence[Row]) -> Scored:
        """Predict the rows, changed or not, and score them with the labels of the unchanged ones."""
        predictor = self.candidate.challenger
        return scored(predictor.schema, self.candidate.usecase.target.cost, self.truth, predict(predictor, rows))

    def predict_baseline(self, rows: Sequence[Row]) -> Scored:
        """Predict the rows by the baseline model."""
        schema = self.candidate.challenger.schema
        outputs = self.candidate.baseline.predict(encode(schema, rows))
        return scored(schema, self.candidate.usecase.target.cost, self.truth, outputs)

    @property
    def change(self) -> str:
        """What counts as a changed decision, the end of a sentence about a share of rows."""
        schema = self.candidate.challenger.schema
        if schema.classes:
            return "of the decisions change"
        unit = f" {schema.unit}" if schema.unit else ""
        return f"of the values move by more than {_CHANGED_VALUE * self.scale():.3g}{unit} ({_CHANGED_VALUE_IN_WORDS})"

    def scale(self) -> float:
        """Return the unit of outputs: 1 for probabilities, the target's standard deviation in a regression."""
        return 1.0 if self.candidate.challenger.schema.classes else float(self.truth.std()) or 1.0

    def changed(self, before: Scored, after: Scored) -> np.ndarray:
        """Return which rows have another decision, bool [n]."""
        if self.candidate.challenger.schema.classes:
            return before.label != after.label
        return np.abs(after.outputs - before.outputs)[:, 0] > _CHANGED_VALUE * self.scale()
