"""Which rows are the same row: by the group, by the key, or by the values that the network sees."""

from __future__ import annotations

import json

import msgspec
import pandas as pd

from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.inference import rows_from_frame


def with_row_keys(frame: pd.DataFrame, schema: Schema, secret: bytes) -> pd.DataFrame:
    """The frame with `row_key` and `split_bucket`; where there are groups, the bucket is the group's.

    Ingest has made both where the key is columns; else the key is the cleaned values themselves.
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
    """The column whose equal values stay on one side."""
    return "split_group" if "split_group" in frame else "row_key"


def rows_in(frame: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Which rows of `frame` have their group, or else their key, in `other`."""
    return frame[identity_column(frame)].isin(set(other[identity_column(frame)]))


def in_holdout(frame: pd.DataFrame, frozen: pd.DataFrame, schema: Schema) -> pd.Series:
    """Which rows a frozen holdout holds: by group, by the key's columns, or by the values of the inputs in common.

    Values, because keys change when a feature is added, and tokens with the secret; a row must not escape by that.
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
    """The frame with what the split goes by where it names columns: `row_key` and `split_bucket`, `split_group`."""
    split = schema.split
    if split.key:
        texts = [schemas.key_text(row, schema) for row in frame[list(split.key)].to_dict("records")]
        frame["row_key"] = [schemas.row_key(secret, text) for text in texts]
        frame["split_bucket"] = [schemas.bucket(split.salt, text) for text in texts]
    if split.group:
        groups = [json.dumps(value, default=str) for value in frame[split.group].tolist()]
        frame["split_group"] = [schemas.row_key(secret, f"group={text}") for text in groups]
    return frame
