"""Read raw rows into a typed, masked snapshot: the first step, and the only one that reads private values."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipelines.artifacts import DataSource
from pipelines.data import column_types, sources, split_times
from pipelines.data.row_identity import with_split_columns
from slipway.config import UseCase, schema_builder
from slipway.contracts import columns
from slipway.contracts import schema as schemas
from slipway.errors import DataError
from slipway.settings import settings
from slipway.system.files import file_sha256

LEAST_ROWS = 30  # ten for each side of the split


def ingest(usecase: UseCase, out: Path) -> None:
    """Write `snapshot.parquet` (features, target and the columns of the split) and `source.json` into `out`.

    Raises:
        DataError: the source cannot be read as the use case says, or holds too little to learn from.
    """
    raw = sources.read(usecase)
    decode = usecase.function("decode", "decode")
    frame = column_types.to_typed(decode(raw.frame) if decode else raw.frame, usecase, raw.origin)
    require_learnable(frame, usecase, raw.origin)
    snapshot = out / "snapshot.parquet"
    mask_private_values(frame, usecase).to_parquet(snapshot, index=False, compression="zstd")
    digest = file_sha256(snapshot)
    DataSource(
        origin=raw.origin,
        synthetic=raw.synthetic,
        rows=len(frame),
        sha256=raw.sha256 or digest,
        snapshot_sha256=digest,
    ).write(out)


def require_learnable(frame: pd.DataFrame, usecase: UseCase, origin: str) -> None:
    """Raise DataError if there are too few rows, or rows of one class only."""
    if len(frame) < LEAST_ROWS:
        raise DataError(f"{origin} holds {len(frame)} rows; at least {LEAST_ROWS} are needed to train and to evaluate.")
    if usecase.task == "regression":
        return
    classes = sorted(str(value) for value in frame[usecase.target.name].dropna().unique())
    if len(classes) < 2:
        raise DataError(
            f"{origin}: the target {usecase.target.name!r} holds one class only, {classes}, in {len(frame)} rows. "
            f"A classifier needs rows of {usecase.target.classes}."
        )


def mask_private_values(frame: pd.DataFrame, usecase: UseCase) -> pd.DataFrame:
    """Return the frame without private values: masked features, `ROW_KEY` and `SPLIT_BUCKET`, the group as a token.

    `ROW_KEY` and `SPLIT_BUCKET` are set here only if `split.key` names columns; else they follow from cleaned values.
    """
    schema, secret = schema_builder.from_usecase(usecase), settings().mask_secret()
    private = [feature.name for feature in schema.masked]
    rows = [schemas.mask(row, schema, secret) for row in frame[private].to_dict("records")]
    kept = [feature.name for feature in schema.masked if feature.private != "drop"]
    masked = pd.DataFrame({name: [row.get(name) for row in rows] for name in kept}, index=frame.index)
    result = frame.drop(columns=private).join(masked)
    result, split = with_split_columns(result, schema, secret), schema.split
    if split.time:
        result[columns.SPLIT_TIME] = split_times.read(result[split.time], usecase.split)
    return result.drop(columns=column_types.extra_names(usecase))[[*_column_order(result, usecase)]]


def _column_order(frame: pd.DataFrame, usecase: UseCase) -> list[str]:
    names = [feature.name for feature in usecase.features] + [usecase.target.name]
    own = [columns.ROW_KEY, columns.SPLIT_BUCKET, columns.SPLIT_GROUP, columns.SPLIT_TIME]
    return [name for name in [*names, *own] if name in frame]
