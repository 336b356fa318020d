"""Slices of data: the groups of rows that `gates.slices` of usecase.yaml declares, for training and monitoring alike.

A number is cut at the declared bins, else at the quartiles of the rows themselves; any other feature has a slice per
value. Rows that lack the value are a slice, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slipway.config import Slice, UseCase
from slipway.contracts.schema import Feature, Schema, bin_labels
from slipway.errors import UseCaseError
from slipway.evaluation.bootstrap import against_all
from slipway.evaluation.metrics import Metric, Scored

MISSING = "missing"
_QUARTILES = [0.25, 0.5, 0.75]
_NUMBERS = ("number", "integer")


@dataclass(frozen=True)
class DataSlice:
    """A group of rows; `value` is a category or an interval of a number, `rows` a mask over the data [n]."""

    feature: str
    value: str
    rows: np.ndarray


def data_slices(
    declared: Sequence[Slice],
    schema: Schema,
    columns: pd.DataFrame | Mapping[str, Any],
    max_values: int | None = None,
) -> list[DataSlice]:
    """Cut rows into the declared slices; empty ones are left out.

    Args:
        declared: `gates.slices`; features that the schema does not have are skipped.
        schema: of the rows.
        columns: the rows, a column per feature: values, or their text as the prediction log has it; None is missing.
        max_values: of a feature, the most categories, the commonest; all without it.
    """
    found = (
        data_slice
        for each in declared
        if each.feature in schema.by_name
        for data_slice in _of_feature(schema.by_name[each.feature], each.bins, columns[each.feature], max_values)
    )
    return [data_slice for data_slice in found if data_slice.rows.any()]


def declared_values(feature: Feature, bins: Sequence[float] | None) -> tuple[str, ...] | None:
    """The values of a feature's slices where they are known before any data; None if they are not.

    They are what `data_slices` names: intervals of the declared bins, or the vocabulary.
    """
    if not feature.is_input or feature.kind == "image":
        return None
    missing = (missing_name(feature.vocabulary or ()),) if feature.nullable else ()
    if feature.kind in _NUMBERS:
        return (*bin_labels(bins), *missing) if bins else None
    if feature.kind == "boolean":
        return ("false", "true", *missing)
    return (*feature.vocabulary, *missing) if feature.vocabulary else None


def missing_name(values: Collection[str]) -> str:
    """Name the slice of rows without a value: `missing`, in parentheses where a value is called that."""
    name = MISSING
    while name in values:
        name = f"({name})"
    return name


def named_slice(form: str, feature: str, value: str) -> str:
    """Name a slice by a form such as `slice:{}={}`; no two slices have one name.

    The feature is in quotes where its own name holds what the form has behind it, as in `slice:"a=b"=c`.
    """
    between = form.split("{}")[1]
    is_clear = f"{feature}{between}".index(between) == len(feature) and not feature.startswith('"')
    return form.format(feature if is_clear else json.dumps(feature, ensure_ascii=False), value)


def scores(usecase: UseCase, schema: Schema, frame: pd.DataFrame, rows: Scored, metric: Metric) -> list[dict[str, Any]]:
    """Compute each slice's score, and how much better it is than over all rows (below 0: worse), with its interval."""
    return [
        {
            "feature": data_slice.feature,
            "value": data_slice.value,
            "rows": int(data_slice.rows.sum()),
            "score": _or_none(metric.compute(rows.at(data_slice.rows))),
            "difference": against_all(data_slice.rows, rows, metric)._asdict(),
        }
        for data_slice in data_slices(usecase.gates.slices, schema, frame)
    ]


def require_separable(usecase: UseCase) -> None:
    """Check that slices go by features that rows hold.

    Raises:
        UseCaseError: a slice goes by an image, or by a feature that is private and dropped.
    """
    features = {feature.name: feature for feature in usecase.features}
    for declared in usecase.gates.slices:
        feature = features[declared.feature]
        if feature.kind == "image" or feature.private == "drop":
            what = "an image" if feature.kind == "image" else "private and dropped"
            raise UseCaseError(
                f"{usecase.name}: gates.slices: {feature.name} is {what}, so rows cannot be grouped by it: "
                "name another feature."
            )


def _of_feature(feature: Feature, bins: list[float] | None, column: Any, max_values: int | None) -> list[DataSlice]:
    cells = pd.Series(column).reset_index(drop=True)
    named, values = _intervals(cells, bins) if feature.kind in _NUMBERS else _categories(cells, max_values)
    found = [DataSlice(feature.name, value, (named == value).to_numpy()) for value in values]
    name = missing_name({*values, *(feature.vocabulary or ())})
    return [*found, DataSlice(feature.name, name, named.isna().to_numpy())]


def _intervals(cells: pd.Series, bins: list[float] | None) -> tuple[pd.Series, list[str]]:
    """Each row's interval, NaN where it is missing, and all intervals in order."""
    numbers = pd.to_numeric(cells, errors="coerce")
    edges = bins or sorted(set(numbers.quantile(_QUARTILES).dropna())) or [0.0]
    names = list(bin_labels(edges))
    named = pd.Series(np.array(names)[np.searchsorted(edges, numbers, side="right")], cells.index)
    return named.mask(numbers.isna()), names


def _categories(cells: pd.Series, max_values: int | None) -> tuple[pd.Series, list[str]]:
    """Each row's category as text, NaN where it is missing, and the categories in order."""
    named = cells.map(lambda value: str(value).lower() if isinstance(value, bool | np.bool_) else str(value))
    commonest = named[cells.notna()].value_counts().index[:max_values]
    return named.mask(cells.isna()), sorted(commonest)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
