"""Decodes the network's output to labels, scores and values."""

from __future__ import annotations

import msgspec
import numpy as np

from slipway.contracts.schema import Schema


class Prediction(msgspec.Struct, omit_defaults=True):
    """A prediction; `score` is P(positive class) or the largest probability; a regression has `value` alone."""

    label: str | None = None
    value: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None


def decode(schema: Schema, outputs: np.ndarray) -> list[Prediction]:
    """Decode the network's output, float32 [n, k]: the threshold decides a binary label, else the largest does."""
    rows = outputs.tolist()
    if schema.task == "regression":
        return [Prediction(value=row[0]) for row in rows]
    classes = schema.classes
    if schema.positive_index is None:
        best = outputs.argmax(axis=1).tolist()
        return [
            Prediction(classes[k], None, row[k], dict(zip(classes, row, strict=True)))
            for k, row in zip(best, rows, strict=True)
        ]
    positive, (first, second) = schema.positive_index, classes
    threshold = 0.5 if schema.threshold is None else schema.threshold
    return [
        Prediction(
            classes[positive if row[positive] >= threshold else 1 - positive],
            None,
            row[positive],
            {first: row[0], second: row[1]},
        )
        for row in rows
    ]
