"""Row identity: rows are equal by their group, their key, or the values of their inputs."""

from __future__ import annotations

import json

import msgspec
import pandas as pd

from slipway.contracts import columns
from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.inference import rows_from_frame


def with_row_keys(frame: pd.DataFrame, schema: Schema, secret: bytes) -> pd.DataFrame:
    """Return the frame with `ROW_KEY` and `SPLIT_BUCKET`; with groups, the bucket is that of the group.

    Ingest has made both if the key names columns; else the key is made from the cleaned values.
    """
    result = frame.copy()
    if columns.ROW_KEY not in result:
        texts = _texts(frame, schema)
        result[columns.ROW_KEY] = [schemas.row_key(secret, text) for text in texts]
        result[columns.SPLIT_BUCKET] = [schemas.bucket(schema.split.salt, text) for text in texts]
    if columns.SPLIT_GROUP in result:
        result[columns.SPLIT_BUCKET] = [
            schemas.bucket(schema.split.salt, group) for group in result[columns.SPLIT_GROUP]
        ]
    return result


def identity_column(frame: pd.DataFrame) -> str:
    """Return the column whose equal values stay on one side of the split."""
    return columns.SPLIT_GROUP if columns.SPLIT_GROUP in frame else columns.ROW_KEY


def rows_in(frame: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Return which rows of `frame` have their group, or else their key, in `other`."""
    return frame[identity_column(frame)].isin(set(other[identity_column(frame)]))


def in_holdout(frame: pd.DataFrame, frozen: pd.DataFrame, schema: Schema) -> pd.Series:
    """Return which rows are in the frozen holdout: by group, by the key's columns, or by the values of common inputs.

    Values are compared because keys change with the features, and tokens with the secret.
    """
    if identity_column(frame) in frozen and (schema.split.key or columns.SPLIT_GROUP in frame):
        return rows_in(frame, frozen)
    common = tuple(feature for feature in schema.inputs if feature.name in frozen and feature.name in frame)
    if not common:
        return pd.Series(False, index=frame.index)
    reduced = msgspec.structs.replace(schema, features=common, split=schemas.Split())
    return pd.Series(_texts(frame, reduced), index=frame.index).isin(set(_texts(frozen, reduced)))


def _texts(frame: pd.DataFrame, schema: Schema) -> list[str]:
    return [schemas.key_text(row, schema) for row in rows_from_frame(schema, frame)]


def with_split_columns(frame: pd.DataFrame, schema: Schema, secret: bytes) -> pd.DataFrame:
    """Return the frame with `ROW_KEY`, `SPLIT_BUCKET` and `SPLIT_GROUP`, if the split names their columns."""
    split = schema.split
    if split.key:
        texts = [schemas.key_text(row, schema) for row in frame[list(split.key)].to_dict("records")]
        keys = [schemas.row_key(secret, text) for text in texts]
        buckets = [schemas.bucket(split.salt, text) for text in texts]
        frame = frame.assign(**{columns.ROW_KEY: keys, columns.SPLIT_BUCKET: buckets})
    if split.group:
        groups = [json.dumps(value, default=str) for value in frame[split.group].tolist()]
        tokens = [schemas.row_key(secret, f"group={text}") for text in groups]
        frame = frame.assign(**{columns.SPLIT_GROUP: tokens})
    return frame
