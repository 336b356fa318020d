"""Content: what a bundle's schema, serving part and probe may say. The rest of the server relies on it unchecked."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from bentos.models.output_cache import MOST_ENTRIES
from slipway.contracts.schema import Feature, Schema
from slipway.errors import BundleError
from slipway.inference import Predictor

MOST_FEATURES = 10_000
MOST_CLASSES = 10_000
MOST_PIXELS = 1 << 24  # of an image as the network sees it
MOST_PROBE_ROWS = 1000
_TASKS = ("binary", "multiclass", "regression")
_KINDS = ("number", "integer", "category", "boolean", "image")
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class _Serving(msgspec.Struct):
    """The keys that this release obeys; it ignores those of a newer one."""

    deadline_ms: _Count = 1000
    swap_ratio: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 3.0
    log: Literal["best_effort", "required"] = "best_effort"
    capture: bool = False
    max_instances: _Count = 10_000
    cache: Annotated[int, msgspec.Meta(ge=0, le=MOST_ENTRIES)] = 0


class _Probe(msgspec.Struct):
    rows: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MOST_PROBE_ROWS)]
    outputs: list[list[float]]


def check(predictor: Predictor, usecase: str) -> None:
    """Raises BundleError where a value is of another type, or larger than any that we write."""
    for problem in _schema_problems(predictor.schema, usecase):
        raise BundleError(f"its schema {problem}.")
    for name, content, kind in (("serving", predictor.serving, _Serving), ("probe", predictor.probe, _Probe)):
        try:
            msgspec.convert(content, kind)
        except msgspec.ValidationError as error:
            raise BundleError(f"its {name}.json is not as it must be: {error}.") from None


def _schema_problems(schema: Schema, usecase: str) -> list[str]:
    names = [feature.name for feature in schema.features] + list(schema.retired)
    problems = {
        f"is of the use case {schema.usecase!r}": schema.usecase != usecase,
        f"has the task {schema.task!r}": schema.task not in _TASKS,
        f"has {len(schema.inputs)} inputs; 1 to {MOST_FEATURES} are allowed": not 0 < len(names) <= MOST_FEATURES
        or not schema.inputs,
        "names a feature twice": len(set(names)) != len(names),
        f"has {len(schema.images)} images, one at most is allowed": len(schema.images) > 1,
        f"has {len(schema.classes)} classes": not _classes_fit(schema),
        f"has the positive class {schema.positive!r}": (schema.task == "binary") != (schema.positive is not None)
        or (schema.positive is not None and schema.positive not in schema.classes),
    }
    strange = [f"has a feature {f.name!r} that is no {f.kind} as it must be" for f in schema.features if _strange(f)]
    return [problem for problem, found in problems.items() if found] + strange


def _classes_fit(schema: Schema) -> bool:
    if schema.task == "regression":
        return not schema.classes
    least, most = (2, 2) if schema.task == "binary" else (2, MOST_CLASSES)
    return least <= len(schema.classes) <= most and len(set(schema.classes)) == len(schema.classes)


def _strange(feature: Feature) -> bool:
    """Whether what belongs to its kind is missing, or of an absurd size."""
    if feature.kind not in _KINDS:
        return True
    if feature.bins is not None and (not feature.bins or feature.vocabulary is None):
        return True
    if feature.kind == "image":
        sizes = (*(feature.size or (0, 0)), feature.channels or 0)
        return min(sizes) < 1 or feature.channels not in (1, 3) or math.prod(sizes) > MOST_PIXELS
    return False
