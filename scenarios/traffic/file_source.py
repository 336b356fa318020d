"""Rows of a CSV or Parquet file as traffic: a column per feature and, for labels, the target."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from slipway.config import tabular
from slipway.contracts.schema import Schema
from slipway.errors import DataError


def read(path: Path, schema: Schema) -> pd.DataFrame:
    """Read the file's rows without validation, which is the service's.

    Raises:
        DataError: the file cannot be read, or it has no row or no column of the schema.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise DataError(f"--from {path}: rows are read from .csv and .parquet files.")
    text = {f.name: str for f in schema.features if f.kind == "category"} | {schema.target: str}
    try:
        frame = (
            tabular.parquet_frame(path)
            if kind == ".parquet"
            else tabular.csv_frame(path, text=text, parse_missing=True)
        )
    except (OSError, DataError) as error:
        raise DataError(f"--from {path} cannot be read: {error}") from None
    if frame.empty or not set(schema.names) & set(frame.columns):
        raise DataError(
            f"--from {path} has {len(frame)} rows of the columns {', '.join(map(str, frame.columns))}; "
            f"{schema.usecase} takes {', '.join(schema.names)}."
        )
    return frame.reset_index(drop=True)
