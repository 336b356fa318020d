"""Rows of a CSV or Parquet file as traffic: a column per feature and, for labels, the target."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from slipway.console import say
from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.tables import feature_rows
from slipway.tables.feature_rows import Decode


def read(path: Path, schema: Schema, decode: Decode | None = None) -> pd.DataFrame:
    """Read the file's rows as training reads them; a cell that is no value of its feature is left to the service.

    `decode` is the function of the use case's decode.py, for a file in the codes of the source.

    Raises:
        DataError: the file cannot be read, or it has no row or no column of the schema.
    """
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        raise DataError(f"--from {path}: rows are read from .csv and .parquet files.")
    try:
        found = feature_rows.read(path, schema, strict=False, decode=decode)
    except (OSError, DataError) as error:
        raise DataError(f"--from {path} cannot be read: {error}") from None
    if schema.table.decoded and decode is None:
        say(f"{path.name}: sent as clients write rows; with --decode as the source, whose codes decode.py replaces")
    names = [name for name in schema.by_name if name not in found.absent]
    if not found.rows or not names:
        raise DataError(
            f"--from {path} has {len(found.rows)} rows of the columns {', '.join([*names, *found.ignored])}; "
            f"{schema.usecase} takes {', '.join(schema.names)}."
        )
    frame = pd.DataFrame({name: pd.Series([row[name] for row in found.rows], dtype=object) for name in names})
    return frame if found.targets is None else frame.assign(**{schema.target: pd.Series(found.targets, dtype=object)})
