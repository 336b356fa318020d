"""Answers: what the deployment says of itself and of rows, as types, and whether predictions are well-formed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from slipway.contracts.bundle.manifest import PROBE_TOLERANCE
from slipway.contracts.schema import Schema
from slipway.errors import ServiceError

_SUM_TOLERANCE = 1e-3


class Listed(msgspec.Struct):
    name: str
    ready: bool


class Models(msgspec.Struct):
    """`GET /v1/models`"""

    models: list[Listed]


class Worker(msgspec.Struct):
    version: str | None
    serving: str | None = None


class Model(msgspec.Struct):
    """`GET /v1/models/NAME`"""

    name: str
    version: str | None
    workers: list[Worker]
    digest: str | None = None
    pointer: dict[str, Any] | None = None
    serving: dict[str, Any] = {}

    @property
    def has_canary(self) -> bool:
        return bool((self.pointer or {}).get("canary"))


class Examples(msgspec.Struct):
    """What `GET …/schema` adds to the schema."""

    examples: list[dict[str, Any]]


class Answering(msgspec.Struct):
    name: str
    version: str


class Prediction(msgspec.Struct):
    id: str
    label: str | None = None
    value: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None


class Predictions(msgspec.Struct):
    """The answer to `POST …/predict`."""

    model: Answering
    request_id: str
    predictions: list[Prediction]


def outputs(schema: Schema, prediction: Prediction) -> list[float]:
    """What the network gave: probabilities in the order of the classes, or the value alone.

    Raises:
        ServiceError: the prediction is not one of the schema's task.
    """
    if schema.task == "regression":
        if prediction.value is None or not math.isfinite(prediction.value):
            raise ServiceError(f"row {prediction.id} has no finite value.")
        return [prediction.value]
    found = prediction.probabilities or {}
    if prediction.label not in schema.classes or set(found) != set(schema.classes) or prediction.score is None:
        raise ServiceError(f"row {prediction.id} has no label, score and probabilities of the classes of the schema.")
    row = [found[name] for name in schema.classes]
    if abs(math.fsum(row) - 1) > _SUM_TOLERANCE or min(row) < 0:
        raise ServiceError(f"the probabilities of row {prediction.id} add up to {math.fsum(row):.4g}, not to 1.")
    if prediction.score != (found[schema.positive] if schema.positive else max(row)):
        raise ServiceError(f"the score of row {prediction.id}, {prediction.score:.4g}, is none of its probabilities.")
    return row


def distance(found: Sequence[float], expected: Sequence[float]) -> float:
    """How far outputs are from the expected ones, in tolerances of the check before a swap; up to 1 is alike."""
    if len(found) != len(expected):
        return math.inf
    return max(abs(f - e) / (PROBE_TOLERANCE * (1 + abs(e))) for f, e in zip(found, expected, strict=True))
