"""Rows of a side of the split as arrays: encoded features, by the predictor's own encoder, and targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slipway.contracts import columns
from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.inference import encode, rows_from_frame


@dataclass(frozen=True)
class EncodedRows:
    """Encoded rows. `target` is int64 [n], an index into `schema.classes`, or float32 [n] in the target's unit.

    `weight` are sample weights, float32 [n] with a mean of 1; None if all are equal.
    """

    features: dict[str, np.ndarray]
    target: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)


def read_side(split: Path, side: str, schema: Schema) -> pd.DataFrame:
    """Read the side's rows with every feature; a feature added after the holdout was frozen is missing in all of it."""
    return read_rows(split / f"{side}.parquet", schema)


def read_rows(path: Path, schema: Schema) -> pd.DataFrame:
    """Read labelled rows with every feature; a feature that is newer than the rows is missing in all of them."""
    frame = read_holdout(path)
    newer = [f.name for f in schema.features if f.private != "drop" and f.name not in frame]
    return frame.join(pd.DataFrame(None, frame.index, newer, object))


def read_holdout(path: Path) -> pd.DataFrame:
    """Read labelled rows with the columns of this release; a holdout may have been frozen by an earlier one."""
    frame = pd.read_parquet(path)
    return frame.rename(columns=columns.holdout_names(frame.columns))


def encode_rows(frame: pd.DataFrame, schema: Schema) -> EncodedRows:
    """Encode the frame's rows, in their order."""
    weight = frame[columns.WEIGHT].to_numpy("float32") if columns.WEIGHT in frame else None
    normalized = None if weight is None else weight / weight.mean()
    return EncodedRows(encode(schema, rows_from_frame(schema, frame)), target_values(frame, schema), normalized)


def target_values(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the target of each row; raises DataError for a class that is not in the schema, as in an old holdout."""
    column = frame[schema.target]
    if schema.task == "regression":
        return column.to_numpy("float32")
    if unknown := sorted(set(column) - set(schema.classes)):
        raise DataError(
            f"{schema.target} of some rows is {unknown}, which is none of the classes {list(schema.classes)}: "
            "were the use case's classes changed after its holdout was frozen?"
        )
    return column.map({name: index for index, name in enumerate(schema.classes)}).to_numpy("int64")
