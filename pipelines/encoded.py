"""A side of the split as arrays: what the network is fed, through the predictor's own encoding, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slipway.errors import DataError
from slipway.predictor import encode, rows_from_frame
from slipway.schema import Schema


@dataclass(frozen=True)
class Encoded:
    """`target` is int64 [n], an index into `schema.classes`, or float32 [n] in the target's unit."""

    features: dict[str, np.ndarray]
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.target)


def read_frame(split: Path, *sides: str) -> pd.DataFrame:
    """The rows of one or more sides, one after the other."""
    return pd.concat([pd.read_parquet(split / f"{side}.parquet") for side in sides], ignore_index=True)


def encoded(frame: pd.DataFrame, schema: Schema) -> Encoded:
    """The frame's rows, in their order."""
    return Encoded(encode(schema, rows_from_frame(schema, frame)), target(frame, schema))


def target(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
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
