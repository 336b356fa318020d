"""Convert unchecked columns to the kinds of their features; an error names the first value that does not match.

`number` float64, `integer` int64 (float64 where some are missing), `boolean` and `category` objects (bool, str),
`image` bytes that decode; missing is NaN or None. Private values never appear in a message.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data import text_columns
from slipway.config import Feature, UseCase, schema_builder
from slipway.contracts.schema import TableFormat
from slipway.errors import DataError, InputError, suggestion
from slipway.tables import cells
from slipway.tables.cells import CellError, Converter


def to_typed(raw: pd.DataFrame, usecase: UseCase, origin: str) -> pd.DataFrame:
    """Return the use case's columns, typed and under their features' names; other columns are dropped.

    Raises:
        DataError: a column is missing, or holds a value of another kind.
    """
    raw, form = raw.rename(columns=str), schema_builder.table_format(usecase)
    columns = {name: form.names.get(name, name) for name in [f.name for f in usecase.features] + [usecase.target.name]}
    columns |= {name: name for name in extra_names(usecase)}
    _require(raw, list(columns.values()), usecase, origin)
    _require_clear_split(raw, columns, usecase, origin)
    frame = {f.name: _convert(raw[columns[f.name]], f, form, origin) for f in usecase.features}
    frame[usecase.target.name] = _target(raw[columns[usecase.target.name]], usecase, form, origin)
    frame |= {name: _trimmed(raw[name]) for name in extra_names(usecase)}
    return pd.DataFrame(frame)


def extra_names(usecase: UseCase) -> list[str]:
    """Return the columns of the split that are no features: keys, group and time."""
    split, features = usecase.split, {feature.name for feature in usecase.features}
    names = dict.fromkeys([*split.key, *filter(None, [split.group, split.time])])
    return [name for name in names if name not in features]


def _require(raw: pd.DataFrame, wanted: list[str], usecase: UseCase, origin: str) -> None:
    existing = list(raw.columns)
    if twice := sorted({name for name in wanted if existing.count(name) > 1}):
        raise DataError(f"{origin} has several columns of one name: {twice}. Rename them in the file or in decode.py.")
    missing = [name for name in wanted if name not in existing]
    if not missing:
        return
    target = usecase.target.column or usecase.target.name
    what = f"the target column {target!r}" if target in missing else f"the columns {missing}"
    hint = suggestion(target if target in missing else missing[0], existing)
    raise DataError(
        f"{origin} lacks {what}.{hint} It has: {existing}. Check source.csv.separator and the features' `column`."
    )


def _require_clear_split(raw: pd.DataFrame, columns: dict[str, str], usecase: UseCase, origin: str) -> None:
    """Refuse a name in the split that is a feature's, which is read from elsewhere, and another column's, too."""
    for name in usecase.split.columns:
        if columns[name] != name and name in raw:
            raise DataError(
                f"{origin}: split names {name!r}, which is a column and a feature that is read from {columns[name]!r}: "
                "rename the feature."
            )


def _trimmed(column: pd.Series) -> pd.Series:
    return (
        column.astype(object).map(lambda cell: cell.strip() if isinstance(cell, str) else cell).reset_index(drop=True)
    )


def _convert(column: pd.Series, feature: Feature, form: TableFormat, origin: str) -> pd.Series:
    if feature.kind == "image":
        return _images(column.reset_index(drop=True), feature, origin)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError(
            f"{origin}: {feature.name} holds dates or durations, which are no feature. "
            "Use what is known at prediction time, for instance an age in days."
        )
    missing, known = cells.MISSING | set(form.missing), frozenset(feature.vocabulary or ())
    if (numbers := _plain_numbers(column, feature, missing, form)) is not None:
        return numbers
    convert = cells.converter(feature.kind, known=known, missing=missing, decimal=form.decimal)
    values = _values(column, convert, feature, origin)
    if feature.kind == "number":
        return pd.Series(values, dtype="float64")
    return _integers(values, feature, origin) if feature.kind == "integer" else pd.Series(values, dtype=object)


def _plain_numbers(
    column: pd.Series, feature: Feature, missing: Collection[str], form: TableFormat
) -> pd.Series | None:
    if feature.kind not in ("number", "integer") or form.decimal != ".":
        return None
    texts = text_columns.texts(column)
    return None if texts is None else text_columns.plain_numbers(texts, feature.kind, missing)


def _values(column: pd.Series, convert: Converter, feature: Feature, origin: str) -> list[Any]:
    """Convert each cell; the first that cannot be is named, with the number of those."""
    places, unchecked = text_columns.distinct(column)
    values: list[Any] = []
    wrong: dict[int, CellError] = {}
    for place, cell in enumerate(unchecked):
        try:
            values.append(convert(cell))
        except CellError as error:
            values.append(None)
            wrong[place] = error
    if wrong:
        rows = np.flatnonzero(np.isin(places, list(wrong)))
        place = int(places[rows[0]])
        _refuse(unchecked[place], int(rows[0]), len(rows), len(places), str(wrong[place]), feature, origin)
    return [values[place] for place in places]


def _integers(values: list[Any], feature: Feature, origin: str) -> pd.Series:
    if None not in values:
        return pd.Series(values, dtype="int64")
    rounded = [row for row, value in enumerate(values) if value is not None and abs(value) > cells.LARGEST_EXACT_FLOAT]
    if rounded:
        advice = "Beside missing values, integers below 2^53 are exact: make it a category, or drop the rows without."
        _refuse(values[rounded[0]], rounded[0], len(rounded), len(values), advice, feature, origin)
    return pd.Series(values, dtype="float64")


def _refuse(cell: Any, row: int, count: int, rows: int, advice: str, feature: Feature, origin: str) -> None:
    value = "a value (private, not shown)" if feature.private else repr(cell)
    raise DataError(
        f"{origin}: {feature.name} is declared {feature.kind}, and row {row + 1} holds {value}; "
        f"{count} of {rows} rows do. {advice}"
    )


def _images(column: pd.Series, feature: Feature, origin: str) -> pd.Series:
    from slipway.contracts.schema import Feature as Shape
    from slipway.inference import decode_image

    shape = Shape(feature.name, "image", size=feature.size, channels=feature.channels)
    for row, value in enumerate(column, start=1):
        if not isinstance(value, bytes):
            kind = type(value).__name__
            raise DataError(f"{origin}: {feature.name} of row {row} is {kind}, the bytes of an image file are needed.")
        try:
            decode_image(value, shape)
        except InputError as error:
            raise DataError(f"{origin}: {feature.name} of row {row}: {error}") from None
    return column


def _target(column: pd.Series, usecase: UseCase, form: TableFormat, origin: str) -> pd.Series:
    """Convert the target as a number, or as a category of the classes."""
    target = usecase.target
    if usecase.task == "regression":
        return _convert(column, Feature(name=target.name, kind="number"), form, origin)
    return _convert(column, Feature(name=target.name, kind="category", vocabulary=target.classes), form, origin)
