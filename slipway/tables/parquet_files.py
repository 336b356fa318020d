"""Reads Parquet files, as rows or as frames; a named index is a column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import DataError
from slipway.tables.cells import LARGEST_EXACT_FLOAT

if TYPE_CHECKING:
    import pandas as pd


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a Parquet file: for each row its number from 1, and its values.

    Raises:
        DataError: it is not Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not Parquet: {_first_line(error)}") from None
    yield from enumerate(table.to_pylist(), start=1)


def frame(path: Path, origin: str = "") -> pd.DataFrame:
    """Read a Parquet file as a frame.

    Raises:
        DataError: it is not Parquet, or there is no such file.
    """
    import pandas as pd
    import pyarrow

    try:
        found = _exact(pd.read_parquet(path), path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{origin or path} is not Parquet: {_first_line(error)}") from None
    indexes = [name for name in found.index.names if name is not None and name not in found.columns]
    return found.reset_index(level=indexes) if indexes else found


def _exact(found: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Keep integers beside missing values that pandas has rounded, as it makes floats of such a column."""
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    names = [
        field.name
        for field in pyarrow.parquet.read_schema(path)
        if pyarrow.types.is_integer(field.type)
        and field.name in found
        and found[field.name].dtype == "float64"
        and found[field.name].abs().max() > LARGEST_EXACT_FLOAT
    ]
    if names:
        table = pyarrow.parquet.read_table(path)
        for name in names:
            found[name] = pd.Series(table.column(name).to_pylist(), index=found.index, dtype=object)
    return found


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
