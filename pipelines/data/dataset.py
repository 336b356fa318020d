"""A side of the split as arrays: what the network is fed, through the predictor's own encoding, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.inference import encode, rows_from_frame


@dataclass(frozen=True)
class EncodedRows:
    """`target` is int64 [n], an index into `schema.classes`, or float32 [n] in the target's unit.

    `weight` is how much each row counts, float32 [n] with a mean of 1; None where all count the same.
    """

    features: dict[str, np.ndarray]
    target: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)


def read_side(split: Path, side: str, schema: Schema) -> pd.DataFrame:
    """The side's rows with every feature; one that is newer than a frozen holdout is missing in all of its rows."""
    return read_rows(split / f"{side}.parquet", schema)


def read_rows(path: Path, schema: Schema) -> pd.DataFrame:
    """Labelled rows with every feature; one that they are older than is missing in all of them."""
    frame = pd.read_parquet(path)
    newer = [f.name for f in schema.features if f.private != "drop" and f.name not in frame]
    return frame.assign(**dict.fromkeys(newer))


def encode_rows(frame: pd.DataFrame, schema: Schema) -> EncodedRows:
    """The frame's rows, in their order."""
    weight = frame["weight"].to_numpy("float32") if "weight" in frame else None
    counted = None if weight is None else weight / weight.mean()
    return EncodedRows(encode(schema, rows_from_frame(schema, frame)), target_values(frame, schema), counted)


def target_values(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Raises DataError where a row is of no class of the schema: a frozen holdout may be older than the classes."""
    column = frame[schema.target]
    if schema.task == "regression":
        return column.to_numpy("float32")
    if unknown := sorted(set(column) - set(schema.classes)):
        raise DataError(
            f"{schema.target} of some rows is {unknown}, which is none of the classes {list(schema.classes)}: "
            "were the use case's classes changed after its holdout was frozen?"
        )
    return column.map({name: index for index, name in enumerate(schema.classes)}).to_numpy("int64")
