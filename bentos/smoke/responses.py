"""Responses of a deployment as types, and the check that predictions are well-formed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from slipway.contracts.bundle.manifest import PROBE_TOLERANCE
from slipway.contracts.schema import Schema
from slipway.errors import ServiceError

_SUM_TOLERANCE = 1e-3


class ListedModel(msgspec.Struct):
    """A use case in the list of models."""

    name: str
    ready: bool


class Models(msgspec.Struct):
    """The response to `GET /v1/models`."""

    models: list[ListedModel]


class Worker(msgspec.Struct):
    """One worker of the machine that answers, and the digest that it serves."""

    version: str | None
    serving: str | None = None


class Model(msgspec.Struct):
    """The response to `GET /v1/models/NAME`."""

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
    """The examples in the response to `GET …/schema`."""

    examples: list[dict[str, Any]]


class PredictingModel(msgspec.Struct):
    """The model that made the predictions."""

    name: str
    version: str


class Prediction(msgspec.Struct):
    """The prediction for one row."""

    id: str
    label: str | None = None
    value: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None


class Predictions(msgspec.Struct):
    """The response to `POST …/predict`."""

    model: PredictingModel
    request_id: str
    predictions: list[Prediction]


def outputs(schema: Schema, prediction: Prediction) -> list[float]:
    """Return the network's outputs: probabilities in the order of the classes, or the value alone.

    Raises:
        ServiceError: the prediction does not fit the schema's task.
    """
    if schema.task == "regression":
        if prediction.value is None or not math.isfinite(prediction.value):
            raise ServiceError(f"row {prediction.id} has no finite value.")
        return [prediction.value]
    by_class = prediction.probabilities or {}
    if prediction.label not in schema.classes or set(by_class) != set(schema.classes) or prediction.score is None:
        raise ServiceError(f"row {prediction.id} has no label, score and probabilities of the classes of the schema.")
    row = [by_class[name] for name in schema.classes]
    if abs(math.fsum(row) - 1) > _SUM_TOLERANCE or min(row) < 0:
        raise ServiceError(f"the probabilities of row {prediction.id} add up to {math.fsum(row):.4g}, not to 1.")
    if prediction.score != (by_class[schema.positive] if schema.positive else max(row)):
        raise ServiceError(f"the score of row {prediction.id}, {prediction.score:.4g}, is none of its probabilities.")
    return row


def distance(found: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest difference to the expected outputs, in units of the tolerance; up to 1 is equal."""
    if len(found) != len(expected):
        return math.inf
    return max(abs(f - e) / (PROBE_TOLERANCE * (1 + abs(e))) for f, e in zip(found, expected, strict=True))
