"""The parts of the rows that usecase.yaml wants looked at on their own: `gates.slices`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slipway.config import Slice, UseCase
from slipway.contracts.schema import Feature, Schema, bin_labels
from slipway.errors import UseCaseError
from slipway.evaluation.bootstrap import against_all
from slipway.evaluation.metrics import Metric, Scored

_QUARTILES = [0.25, 0.5, 0.75]
_MISSING = "missing"


@dataclass(frozen=True)
class Part:
    """`value` is a category, or an interval of a number; `rows` is a mask over the frame."""

    feature: str
    value: str
    rows: np.ndarray


def parts(usecase: UseCase, schema: Schema, frame: pd.DataFrame) -> list[Part]:
    """Every declared slice of the frame's rows, each value's rows and those that miss it; none without rows."""
    found = [part for declared in usecase.gates.slices for part in _parts(declared, schema, frame)]
    return [part for part in found if part.rows.any()]


def scores(usecase: UseCase, schema: Schema, frame: pd.DataFrame, rows: Scored, metric: Metric) -> list[dict[str, Any]]:
    """Each slice's score, and how much better it is than over all rows (less than 0: worse), with its interval."""
    return [
        {
            "feature": part.feature,
            "value": part.value,
            "rows": int(part.rows.sum()),
            "score": _or_none(metric.compute(rows.at(part.rows))),
            "difference": against_all(part.rows, rows, metric)._asdict(),
        }
        for part in parts(usecase, schema, frame)
    ]


def require_separable(usecase: UseCase) -> None:
    """Raises UseCaseError where a slice goes by a feature that rows do not hold: an image, or one that is dropped."""
    features = {feature.name: feature for feature in usecase.features}
    for declared in usecase.gates.slices:
        feature = features[declared.feature]
        if feature.kind == "image" or feature.private == "drop":
            what = "an image" if feature.kind == "image" else "private and dropped"
            raise UseCaseError(
                f"{usecase.name}: gates.slices: {feature.name} is {what}, so rows cannot be told apart by it: "
                "name another feature."
            )


def _parts(declared: Slice, schema: Schema, frame: pd.DataFrame) -> list[Part]:
    feature = schema.by_name[declared.feature]
    named, order = _named(frame[feature.name], feature, declared.bins)
    return [Part(feature.name, value, (named == value).to_numpy()) for value in [*order, _MISSING]]


def _named(column: pd.Series, feature: Feature, bins: list[float] | None) -> tuple[pd.Series, list[str]]:
    """Each row's part, and the parts in order: intervals of a number, by its quartiles where no bins are given."""
    if feature.kind in ("number", "integer"):
        edges = bins or sorted(set(column.quantile(_QUARTILES).dropna())) or [0.0]
        names = list(bin_labels(edges))
        values = pd.Series(np.array(names)[np.searchsorted(edges, column, side="right")], column.index)
    else:
        values = column.map(lambda value: str(value).lower() if isinstance(value, bool) else str(value))
        names = sorted(values[column.notna()].unique())
    return values.mask(column.isna(), _MISSING), names


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
