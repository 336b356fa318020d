"""The meaning of a cell: the value of a feature, from a text or from a value of Parquet.

    convert = converter("integer")
    convert(" 12 "), convert("12.0"), convert("NA")      # 12, 12, None
    convert("2.5")                                       # CellError, whose message says what to do

Blanks around a text are no part of it. Words for missing values are missing, unless they are known values.
"""

from __future__ import annotations

import datetime
import math
import numbers
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"})
LARGEST_INTEGER = 2**63 - 1
LARGEST_EXACT_FLOAT = 2**53 - 1  # 2^53 itself may have been 2^53 + 1
LARGEST_FLOAT = 3.4028234663852886e38  # of 32 bits, which is what the network takes
_TRUE, _FALSE = frozenset({"true", "1", "1.0", "yes"}), frozenset({"false", "0", "0.0", "no"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)
_SHORT_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+", re.ASCII)
_INFINITE = "Infinities are no numbers: leave the value empty."
_NO_NUMBER = "Correct the rows, add a word for missing values to source.missing, or make it a category."
_COMMA = (
    "Set source.csv.decimal to ',' where the comma is a decimal mark; decode.py is the place to remove other signs."
)
_DATES = "Dates and durations are no feature: use what is known at prediction time, for instance an age in days."
_BYTES = "Bytes are read as text in UTF-8, which these are not: convert the column."
_NESTED = "A list, a map or a structure is no feature: make columns of its parts in decode.py."
_ROUNDED = "A float of 2^53 or more may have been rounded: write it as an integer."
_TIMES = (datetime.date, datetime.time, datetime.timedelta)

Converter = Callable[[Any], Any]


class CellError(ValueError):
    """A cell that is no value of its column; the message says what to do."""


def converter(
    kind: str, *, known: Collection[str] = (), missing: Collection[str] = MISSING, decimal: str = "."
) -> Converter:
    """Make the function that converts the cells of a column; it returns None for a missing one.

    Args:
        kind: `number`, `integer`, `boolean` or `category`.
        known: the values of a category or the classes, as far as they are declared.
        missing: words for missing values.
        decimal: the decimal mark of numbers in texts.
    """
    forms = {_one_form(word): word for word in sorted(known, reverse=True)}
    to_value: Converter = {
        "number": lambda cell: _number(cell, decimal),
        "integer": lambda cell: _integer(cell, decimal),
        "boolean": _boolean,
        "category": lambda cell: _word(cell, known, forms),
    }[kind]
    words = frozenset(missing) - frozenset(known)
    gone = words if kind == "category" else as_numbers(words)

    def convert(cell: Any) -> Any:
        cell = cell if isinstance(cell, str) else _plain(cell)
        if isinstance(cell, str):
            if cell.strip() in words and cell not in known:
                return None
        elif cell is None or cell != cell:
            return None
        value = to_value(cell)
        return None if gone and value in gone else value

    return convert


def _plain(cell: Any) -> Any:
    """Return the value of a cell of Parquet as Python's own: numpy's numbers, and texts that are stored as bytes."""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise CellError(_BYTES) from None
    if hasattr(cell, "__len__"):
        raise CellError(_NESTED)
    return cell.item() if hasattr(cell, "item") else cell


def as_numbers(words: Collection[str]) -> frozenset[float]:
    """Return the words that are numbers: `-999` is also `-999.0`, and a number of Parquet."""
    return frozenset(float(word) for word in words if _NUMBER.fullmatch(word))


def _number(cell: Any, decimal: str) -> float:
    if isinstance(cell, str):
        value = float(_digits(cell, decimal))
    elif isinstance(cell, numbers.Real | Decimal):
        value = float(cell)
    else:
        raise CellError(_DATES if isinstance(cell, _TIMES) else _NO_NUMBER)
    if not abs(value) <= LARGEST_FLOAT:
        raise CellError(_INFINITE)
    return value


def _digits(cell: str, decimal: str) -> str:
    """Return the text of a number with a decimal point."""
    text = cell.strip()
    if decimal != "." and "." not in text:
        text = text.replace(decimal, ".")
    elif decimal != ".":
        raise CellError(f"The decimal mark of the file is {decimal!r} (source.csv.decimal), and this has a point.")
    if not _NUMBER.fullmatch(text):
        if text.lower().lstrip("+-") in ("inf", "infinity"):
            raise CellError(_INFINITE)
        raise CellError(_COMMA if _DECIMAL_COMMA.fullmatch(text) else _NO_NUMBER)
    return text


def _integer(cell: Any, decimal: str) -> int:
    """Convert exactly: what a float has rounded, or 64 bits do not hold, is refused."""
    if isinstance(cell, str):
        text = cell.strip()
        if _SHORT_INTEGER.fullmatch(text):
            return int(text)
        exact = Decimal(_digits(cell, decimal))
    elif isinstance(cell, float):
        exact = Decimal(cell) if math.isfinite(cell) else _refuse(_INFINITE)
    elif isinstance(cell, numbers.Integral | Decimal):
        exact = Decimal(cell if isinstance(cell, Decimal) else int(cell))
    else:
        raise CellError(_DATES if isinstance(cell, _TIMES) else _NO_NUMBER)
    if not exact.copy_abs() <= LARGEST_INTEGER:
        raise CellError("64 bits do not hold it: make it a category if it is a key, or leave it out.")
    if exact != exact.to_integral_value():
        raise CellError("Make the feature a `number` if fractions are right.")
    if isinstance(cell, float) and abs(cell) > LARGEST_EXACT_FLOAT:
        raise CellError(_ROUNDED)
    return int(exact)


def _boolean(cell: Any) -> bool:
    word = str(cell).strip().lower()
    if word not in _TRUE | _FALSE:
        raise CellError("Allowed are true, false, yes, no, 1 and 0; anything else is a category.")
    return word in _TRUE


def _word(cell: Any, known: Collection[str], forms: Mapping[str, str]) -> str:
    """Convert to text, in the form of a known value: `1`, `1.0` and the number 1 are one value."""
    if isinstance(cell, str) and cell in known:
        return cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) > LARGEST_EXACT_FLOAT:
        raise CellError(_ROUNDED)
    if isinstance(cell, float | Decimal) and math.isfinite(cell) and cell == int(cell):
        text = str(int(cell))
    elif isinstance(cell, bool):
        text = str(cell).lower()
    else:
        text = str(cell).strip()
    return text if text in known else forms.get(_one_form(text), text)


def _one_form(text: str) -> str:
    """Return the one form of texts that tools write in several: `1` of `1.0`, `true` of `TRUE`, `red` of ` red`."""
    text = text.strip()
    whole, lower = _WHOLE.fullmatch(text), text.lower()
    return whole[1] if whole else lower if lower in ("true", "false") else text


def _refuse(advice: str) -> Any:
    raise CellError(advice)
