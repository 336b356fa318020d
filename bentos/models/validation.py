"""Bundle validation: types and sizes of the schema, the serving settings and the probe, which the server relies on."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from bentos.models.output_cache import MAX_ENTRIES
from slipway.contracts.objectives import Objectives
from slipway.contracts.schema import Feature, Schema
from slipway.errors import BundleError
from slipway.inference.predictor import Parts

MAX_FEATURES = 10_000
MAX_CLASSES = 10_000
MAX_PIXELS = 1 << 24  # of an image at the network's input
MAX_PROBE_ROWS = 1000
_TASKS = ("binary", "multiclass", "regression")
_KINDS = ("number", "integer", "category", "boolean", "image")
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class _Serving(msgspec.Struct):
    """The keys that this release knows; those of a newer one are ignored."""

    deadline_ms: _Count = 1000
    swap_ratio: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 3.0
    log: Literal["best_effort", "required"] = "best_effort"
    capture: bool = False
    max_instances: _Count = 10_000
    cache: Annotated[int, msgspec.Meta(ge=0, le=MAX_ENTRIES)] = 0
    objectives: Objectives = Objectives()


class _Probe(msgspec.Struct):
    rows: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MAX_PROBE_ROWS)]
    outputs: list[list[float]]


def validate(parts: Parts, usecase: str) -> None:
    """Raise BundleError where a value has a wrong type, or is larger than any that training writes."""
    for problem in _schema_problems(parts.schema, usecase):
        raise BundleError(f"its schema {problem}.")
    for name, content, kind in (("serving", parts.serving, _Serving), ("probe", parts.probe, _Probe)):
        try:
            msgspec.convert(content, kind)
        except msgspec.ValidationError as error:
            raise BundleError(f"its {name}.json is invalid: {error}.") from None


def _schema_problems(schema: Schema, usecase: str) -> list[str]:
    names = [feature.name for feature in schema.features] + list(schema.retired)
    problems = {
        f"is of the use case {schema.usecase!r}": schema.usecase != usecase,
        f"has the task {schema.task!r}": schema.task not in _TASKS,
        f"has {len(schema.inputs)} inputs; 1 to {MAX_FEATURES} are allowed": not 0 < len(names) <= MAX_FEATURES
        or not schema.inputs,
        "names a feature twice": len(set(names)) != len(names),
        f"has {len(schema.images)} images, one at most is allowed": len(schema.images) > 1,
        f"has {len(schema.classes)} classes": not _classes_fit(schema),
        f"has the positive class {schema.positive!r}": (schema.task == "binary") != (schema.positive is not None)
        or (schema.positive is not None and schema.positive not in schema.classes),
    }
    invalid = [f"has an invalid {f.kind} feature {f.name!r}" for f in schema.features if _is_invalid(f)]
    return [problem for problem, found in problems.items() if found] + invalid


def _classes_fit(schema: Schema) -> bool:
    if schema.task == "regression":
        return not schema.classes
    lowest, highest = (2, 2) if schema.task == "binary" else (2, MAX_CLASSES)
    return lowest <= len(schema.classes) <= highest and len(set(schema.classes)) == len(schema.classes)


def _is_invalid(feature: Feature) -> bool:
    """Whether an attribute that the feature's kind needs is missing or of an absurd size."""
    if feature.kind not in _KINDS:
        return True
    if feature.bins is not None and (not feature.bins or feature.vocabulary is None):
        return True
    if feature.kind == "image":
        sizes = (*(feature.size or (0, 0)), feature.channels or 0)
        return min(sizes) < 1 or feature.channels not in (1, 3) or math.prod(sizes) > MAX_PIXELS
    return False
