"""Convert unchecked columns to the kinds of their features; an error names the first value that does not match.

`number` float64, `integer` int64 (float64 where some are missing), `boolean` and `category` objects (bool, str),
`image` bytes that decode; missing is NaN or None. Private values never appear in a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from slipway.config import Feature, UseCase
from slipway.errors import DataError, InputError, suggestion

MISSING = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"}
TRUE, FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}
_LARGEST = float(np.finfo(np.float32).max)  # beyond it a number is infinite for the network


def to_typed(raw: pd.DataFrame, usecase: UseCase, origin: str) -> pd.DataFrame:
    """Return the use case's columns, typed and under their features' names; other columns are dropped.

    Raises:
        DataError: a column is missing, or holds a value of another kind.
    """
    columns = {feature.name: feature.column or feature.name for feature in usecase.features}
    columns[usecase.target.name] = usecase.target.column or usecase.target.name
    columns |= {name: name for name in extra_names(usecase)}
    _require(raw, list(columns.values()), usecase, origin)
    frame = {f.name: _convert(raw[columns[f.name]], f, origin) for f in usecase.features}
    frame[usecase.target.name] = _target(raw[columns[usecase.target.name]], usecase, origin)
    frame |= {name: raw[name].reset_index(drop=True) for name in extra_names(usecase)}
    return pd.DataFrame(frame)


def extra_names(usecase: UseCase) -> list[str]:
    """Return the columns of the split that are no features: keys, group and time."""
    split, features = usecase.split, {feature.name for feature in usecase.features}
    names = dict.fromkeys([*split.key, *filter(None, [split.group, split.time])])
    return [name for name in names if name not in features]


def _require(raw: pd.DataFrame, wanted: list[str], usecase: UseCase, origin: str) -> None:
    missing = [name for name in wanted if name not in raw.columns]
    if not missing:
        return
    existing = [str(name) for name in raw.columns]
    target = usecase.target.column or usecase.target.name
    what = f"the target column {target!r}" if target in missing else f"the columns {missing}"
    hint = suggestion(target if target in missing else missing[0], existing)
    raise DataError(
        f"{origin} lacks {what}.{hint} It has: {existing}. Check source.csv.separator and the features' `column`."
    )


def _convert(column: pd.Series, feature: Feature, origin: str) -> pd.Series:
    convert: dict[str, Callable[[pd.Series, Feature, str], pd.Series]] = {
        "number": _numbers,
        "integer": _integers,
        "boolean": _booleans,
        "category": _categories,
        "image": _images,
    }
    return convert[feature.kind](column.reset_index(drop=True), feature, origin)


def _numbers(column: pd.Series, feature: Feature, origin: str) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(
            f"{origin}: {feature.name} holds dates, which are no feature. "
            "Use what is known at prediction time, for instance an age in days."
        )
    values = column.mask(_is_missing(column))
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    _refuse(values.notna() & numbers.isna(), column, feature, origin, "Correct the rows, or make it a category.")
    _refuse(numbers.abs() > _LARGEST, column, feature, origin, "Infinities are no numbers: leave the value empty.")
    return numbers


def _integers(column: pd.Series, feature: Feature, origin: str) -> pd.Series:
    numbers = _numbers(column, feature, origin)
    _refuse(numbers % 1 > 0, column, feature, origin, "Make the feature a `number` if fractions are right.")
    return numbers if numbers.isna().any() else numbers.astype("int64")


def _booleans(column: pd.Series, feature: Feature, origin: str) -> pd.Series:
    missing = _is_missing(column)
    words = column.astype(str).str.strip().str.lower()
    hint = "Allowed are true, false, yes, no, 1 and 0; anything else is a category."
    _refuse(~(missing | words.isin(TRUE | FALSE)), column, feature, origin, hint)
    return words.isin(TRUE).astype(object).mask(missing, None)


def _categories(column: pd.Series, feature: Feature, _origin: str) -> pd.Series:
    return _words(column, set(feature.vocabulary or ()))


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


def _target(column: pd.Series, usecase: UseCase, origin: str) -> pd.Series:
    target = usecase.target
    if usecase.task == "regression":
        return _numbers(column.reset_index(drop=True), Feature(name=target.name, kind="number"), origin)
    return _words(column.reset_index(drop=True), set(target.classes))


def _words(column: pd.Series, known: set[str]) -> pd.Series:
    """Convert to text: `5.0` becomes "5"; a word for missing that is a known value is kept."""
    missing = _is_missing(column, known)
    return column.map(_word).astype(object).mask(missing, None)


def _word(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _is_missing(column: pd.Series, known: set[str] | None = None) -> pd.Series:
    words = MISSING - (known or set())
    return column.isna() | column.map(lambda value: isinstance(value, str) and value.strip() in words)


def _refuse(wrong: pd.Series, column: pd.Series, feature: Feature, origin: str, hint: str) -> None:
    if not wrong.any():
        return
    row = int(wrong.to_numpy().argmax())
    value = "a value (private, not shown)" if feature.private else repr(column.iloc[row])
    raise DataError(
        f"{origin}: {feature.name} is declared {feature.kind}, and row {row + 1} holds {value}; "
        f"{int(wrong.sum())} of {len(wrong)} rows do. {hint}"
    )
