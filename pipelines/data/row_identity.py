"""Row identity: rows are equal by their group, their key, or the values of their inputs."""

from __future__ import annotations

import json

import msgspec
import pandas as pd

from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.inference import rows_from_frame


def with_row_keys(frame: pd.DataFrame, schema: Schema, secret: bytes) -> pd.DataFrame:
    """Return the frame with `row_key` and `split_bucket`; with groups, the bucket is that of the group.

    Ingest has made both if the key names columns; else the key is made from the cleaned values.
    """
    result = frame.copy()
    if "row_key" not in result:
        texts = _texts(frame, schema)
        result["row_key"] = [schemas.row_key(secret, text) for text in texts]
        result["split_bucket"] = [schemas.bucket(schema.split.salt, text) for text in texts]
    if "split_group" in result:
        result["split_bucket"] = [schemas.bucket(schema.split.salt, group) for group in result["split_group"]]
    return result


def identity_column(frame: pd.DataFrame) -> str:
    """Return the column whose equal values stay on one side of the split."""
    return "split_group" if "split_group" in frame else "row_key"


def rows_in(frame: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Return which rows of `frame` have their group, or else their key, in `other`."""
    return frame[identity_column(frame)].isin(set(other[identity_column(frame)]))


def in_holdout(frame: pd.DataFrame, frozen: pd.DataFrame, schema: Schema) -> pd.Series:
    """Return which rows are in the frozen holdout: by group, by the key's columns, or by the values of common inputs.

    Values are compared because keys change with the features, and tokens with the secret.
    """
    if identity_column(frame) in frozen and (schema.split.key or "split_group" in frame):
        return rows_in(frame, frozen)
    common = tuple(feature for feature in schema.inputs if feature.name in frozen and feature.name in frame)
    if not common:
        return pd.Series(False, index=frame.index)
    reduced = msgspec.structs.replace(schema, features=common, split=schemas.Split())
    return pd.Series(_texts(frame, reduced), index=frame.index).isin(set(_texts(frozen, reduced)))


def _texts(frame: pd.DataFrame, schema: Schema) -> list[str]:
    return [schemas.key_text(row, schema) for row in rows_from_frame(schema, frame)]


def with_split_columns(frame: pd.DataFrame, schema: Schema, secret: bytes) -> pd.DataFrame:
    """Return the frame with `row_key`, `split_bucket` and `split_group`, if the split names their columns."""
    split = schema.split
    if split.key:
        texts = [schemas.key_text(row, schema) for row in frame[list(split.key)].to_dict("records")]
        frame = frame.assign(
            row_key=[schemas.row_key(secret, text) for text in texts],
            split_bucket=[schemas.bucket(split.salt, text) for text in texts],
        )
    if split.group:
        groups = [json.dumps(value, default=str) for value in frame[split.group].tolist()]
        frame = frame.assign(split_group=[schemas.row_key(secret, f"group={text}") for text in groups])
    return frame
