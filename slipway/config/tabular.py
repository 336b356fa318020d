"""Reads tables from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import DataError

if TYPE_CHECKING:
    import pyarrow


def parquet(path: Path) -> pyarrow.Table:
    """Read a Parquet file.

    Raises:
        DataError: it is not one, or cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {error}") from None
