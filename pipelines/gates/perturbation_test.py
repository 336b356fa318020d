"""The rows that a new model is asked again and again, changed a little each time, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.data.dataset import target_values
from pipelines.gates.candidate import Candidate, predict, read_frame
from slipway.evaluation.metrics import Scored, scored
from slipway.inference import Row, rows_from_frame

MOST_ROWS = 2000
SEED = 7
# A regression has no decision: a value that moved by a tenth of the target's standard deviation counts as another one.
_ANOTHER_VALUE = 0.1


@dataclass(frozen=True)
class PerturbationTest:
    """At most 2,000 of the rows that follow today's rule; `where` names them in a sentence."""

    judged: Candidate
    where: str
    rows: list[Row]
    truth: np.ndarray

    @classmethod
    def of(cls, judged: Candidate) -> PerturbationTest:
        schema = judged.challenger.schema
        frame = read_frame(judged.current, schema)
        some = frame.sample(MOST_ROWS, random_state=SEED) if len(frame) > MOST_ROWS else frame
        where = f"On {len(some):,} rows of {judged.current.name}"
        return cls(judged, where, rows_from_frame(schema, some), target_values(some, schema))

    def answers(self, rows: Sequence[Row]) -> Scored:
        """What the model says of these rows, changed or not, beside the truth of the unchanged ones."""
        predictor = self.judged.challenger
        return scored(predictor.schema, self.judged.usecase.target.cost, self.truth, predict(predictor, rows))

    def scale(self) -> float:
        """The unit of what is answered: 1 for probabilities, the target's standard deviation in a regression."""
        return 1.0 if self.judged.challenger.schema.classes else float(self.truth.std()) or 1.0

    def changed(self, before: Scored, after: Scored) -> np.ndarray:
        """Which rows are decided otherwise: flags [n]."""
        if self.judged.challenger.schema.classes:
            return before.label != after.label
        return np.abs(after.outputs - before.outputs)[:, 0] > _ANOTHER_VALUE * self.scale()
