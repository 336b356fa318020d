"""Reads the column that divides rows by time: as numbers, or as times of one format and zone for all of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from slipway.config.sections import Split
from slipway.errors import DataError
from slipway.tables import cells
from slipway.tables.cells import CellError

_OFFSET = re.compile(r"[T ].*(?:Z|[+-]\d{2}(?::?\d{2})?)$")
_TWO_DIGIT_YEAR = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{1,2}(\s.*)?$")
_LETTERS = re.compile(r"[A-SU-Za-z]")  # but the T of ISO 8601
_NOT_IN_ORDER = ("%d%m%Y", "%m%d%Y", "%m%Y")
_NEEDED = (
    "a time is needed in each row: as 2026-01-31T12:00:00Z, as a number, or in the one format that "
    "split.time_format names, from 1678 to 2261"
)


@dataclass(frozen=True)
class _Reading:
    """A column as times by one format; NaT where a cell is none by it."""

    format: str
    times: pd.Series


def read(column: pd.Series, split: Split) -> pd.Series:
    """Return numbers as they are, anything else as times in UTC.

    Texts that are all numbers (epochs, counters) are numbers. Times without an offset are in `split.time_zone`.

    Raises:
        DataError: a cell is no time, or the column can be read in several ways and `split.time_format` names none.
    """
    column = column.reset_index(drop=True)
    _require_all(column, column.isna() | column.isin(cells.MISSING), split)
    if split.time_format:
        return _declared(column.map(str), split.time_format, split)
    if pd.api.types.is_numeric_dtype(column):
        _require_all(column, np.isinf(column), split)
        return column
    if not column.map(lambda cell: isinstance(cell, str)).all():
        times = pd.to_datetime(column, errors="coerce", utc=_has_zones(column))
        return _complete(_in_utc(times, split), column, split)
    numbers = _numbers(column)
    if numbers is None:
        return _texts(column, split)
    _refuse_digits_of_dates(column, split)
    return numbers


def _declared(texts: pd.Series, declared: str, split: Split) -> pd.Series:
    try:
        times = pd.to_datetime(texts, format=declared, errors="coerce", utc="%z" in declared)
    except ValueError as error:
        raise DataError(f"split.time_format {declared!r} is no format: {error}. Write it as %d.%m.%Y %H:%M.") from None
    if not pd.api.types.is_datetime64_any_dtype(times):
        raise DataError(
            f"split.time_format: {split.time} names several zones, which %Z cannot read. Write offsets, %z."
        )
    return _complete(_in_utc(times, split), texts, split)


def _refuse_digits_of_dates(texts: pd.Series, split: Split) -> None:
    """Refuse digits that are days or months before years: as numbers they would be in another order."""
    if not texts.str.startswith("0").any():
        return  # but numbers have no zeros before them
    for wanted in _NOT_IN_ORDER:
        times = pd.to_datetime(texts, format=wanted, errors="coerce")
        if times.dt.year.between(1900, 2100).all():
            raise DataError(
                f"split.time: {split.time} can be read in more than one way: row 1 holds {texts.iloc[0]!r}, which is a "
                f"number, or {times.iloc[0]:%Y-%m-%d} by {wanted!r}. Set split.time_format, or put years first."
            )


def _numbers(texts: pd.Series) -> pd.Series | None:
    """Return the texts as numbers, integers if they can be exact; None if any is no number."""
    for kind, dtype in (("integer", "int64"), ("number", "float64")):
        try:
            return pd.Series([*map(cells.converter(kind), texts)], dtype=dtype)
        except CellError:
            continue
    return None


def _texts(texts: pd.Series, split: Split) -> pd.Series:
    iso = _iso(texts, split)
    if iso.notna().all() and texts.str.contains(r"\d").all():
        return iso
    readings = list(_readings(texts, split))
    complete = [reading for reading in readings if reading.times.notna().all()]
    if not complete:
        closest = max([iso, *(reading.times for reading in readings)], key=lambda times: times.notna().sum())
        _require_all(texts, closest.isna() | ~texts.str.contains(r"\d"), split)
    _refuse_ambiguous(texts, complete, split)
    return complete[0].times


def _iso(texts: pd.Series, split: Split) -> pd.Series:
    zoned = texts.str.contains(_OFFSET)
    local = pd.to_datetime(texts.mask(zoned), format="ISO8601", errors="coerce", utc=False)
    return _in_utc(local, split).fillna(pd.to_datetime(texts.where(zoned), format="ISO8601", errors="coerce", utc=True))


def _readings(texts: pd.Series, split: Split) -> Iterator[_Reading]:
    """Read the whole column by each format that the first cell may be of."""
    for found in dict.fromkeys(_formats(str(texts.iloc[0]))):
        times = pd.to_datetime(texts, format=found, errors="coerce", utc="%z" in found)
        yield _Reading(found, _in_utc(times, split))


def _formats(text: str) -> Iterator[str]:
    from pandas.tseries.api import guess_datetime_format

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a format is not the one that was guessed first
        guesses = [guess_datetime_format(text), guess_datetime_format(text, dayfirst=True)]
    # what is left without the directives are separators; letters would be a zone's name, which pandas drops
    yield from (guess for guess in guesses if guess and not _LETTERS.search(re.sub(r"%\w", "", guess)))
    if short := _TWO_DIGIT_YEAR.match(text):
        mark, clock = short[1], short[2] or ""
        time = {0: "", 1: " %H:%M", 2: " %H:%M:%S"}[min(clock.count(":"), 2)]
        yield from (mark.join(order) + time for order in (("%d", "%m", "%y"), ("%m", "%d", "%y"), ("%y", "%m", "%d")))


def _refuse_ambiguous(texts: pd.Series, readings: list[_Reading], split: Split) -> None:
    differ = np.logical_or.reduce([(one.times != readings[0].times).to_numpy() for one in readings])
    if not differ.any() and "%y" not in readings[0].format:
        return
    row = int(differ.argmax())
    ways = ", or ".join(f"{one.times.iloc[row]:%Y-%m-%d %H:%M} by {one.format!r}" for one in readings)
    raise DataError(
        f"split.time: {split.time} can be read in more than one way: row {row + 1} holds {texts.iloc[row]!r}, which is "
        f"{ways}. Set split.time_format to the format that is right."
    )


def _in_utc(times: pd.Series, split: Split) -> pd.Series:
    """Return times in UTC; of an hour that a change of the clock repeats, the second is meant."""
    if times.dt.tz is not None:
        return times.dt.tz_convert("UTC")
    second = np.zeros(len(times), dtype=bool)
    local = times.dt.tz_localize(split.time_zone, ambiguous=second, nonexistent="shift_forward")
    return local.dt.tz_convert("UTC")


def _has_zones(column: pd.Series) -> bool:
    return bool(column.map(lambda cell: getattr(cell, "tzinfo", None) is not None).any())


def _complete(times: pd.Series, column: pd.Series, split: Split) -> pd.Series:
    _require_all(column, times.isna(), split)
    return times


def _require_all(column: pd.Series, wrong: pd.Series, split: Split) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(f"split.time: {split.time} of row {row + 1} holds {column.iloc[row]!r}; {_NEEDED}.")
