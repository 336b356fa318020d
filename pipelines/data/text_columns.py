"""Columns of text at once: plain numbers are converted by Arrow, and of other texts each distinct one only once."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slipway.tables import cells

if TYPE_CHECKING:
    import pyarrow as pa


def texts(column: pd.Series) -> pa.ChunkedArray | None:
    """Return the column as Arrow's text; None if it holds anything but texts and missing values."""
    if column.dtype != "string" and (column.dtype != object or pd.api.types.infer_dtype(column) != "string"):
        return None
    import pyarrow as pa

    found = pa.array(column, type=pa.string(), from_pandas=True)
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def plain_numbers(found: pa.ChunkedArray, kind: str, missing: Collection[str]) -> pd.Series | None:
    """Convert texts such as `12`, `-0.5` and `1e3` as `cells.converter` does; None if any takes a closer look."""
    import pyarrow as pa
    from pyarrow import compute

    trimmed = compute.utf8_trim_whitespace(found)
    gone = compute.is_in(trimmed, value_set=pa.array(sorted(missing), pa.string()))
    present = compute.if_else(gone, pa.scalar(None, pa.string()), trimmed)
    if kind == "integer" and compute.any(compute.match_substring(present, "x", ignore_case=True)).as_py():
        return None  # Arrow reads hexadecimal integers
    try:
        values = compute.cast(present, pa.int64() if kind == "integer" else pa.float64())
    except pa.ArrowInvalid:
        return None
    numbers: Collection[float] = cells.as_numbers(missing)
    if kind == "integer":
        numbers = {int(number) for number in numbers if abs(number) <= cells.LARGEST_EXACT_FLOAT and not number % 1}
    if numbers:
        gone = compute.is_in(values, value_set=pa.array(sorted(numbers), values.type))
        values = compute.if_else(gone, pa.scalar(None, values.type), values)
    return pd.Series(values.to_numpy()) if _is_exact(values) else None


def distinct(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Return for each row the position of its cell among the distinct ones, and these; None is missing.

    Only texts are made distinct: 1, 1.0 and True are equal, and may mean different things.
    """
    found = texts(column)
    if found is None:
        return np.arange(len(column)), column.astype(object).where(column.notna(), None).tolist()
    encoded = found.dictionary_encode(null_encoding="encode").combine_chunks()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _is_exact(values: pa.ChunkedArray) -> bool:
    """Whether the numbers are within the limits of their kind, which `cells` tells otherwise."""
    import pyarrow as pa
    from pyarrow import compute

    if len(values) == values.null_count:
        return True
    bounds = compute.min_max(values).as_py()
    largest = max(abs(bounds["min"]), abs(bounds["max"]))
    if pa.types.is_floating(values.type):
        return not compute.any(compute.is_nan(values)).as_py() and largest <= cells.LARGEST_FLOAT
    return largest <= (cells.LARGEST_EXACT_FLOAT if values.null_count else cells.LARGEST_INTEGER)
