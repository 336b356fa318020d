"""Complete a schema from training data: ranges and vocabularies that the use case leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from slipway.contracts.schema.model import Feature, Schema
from slipway.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


_VOCABULARY_LIMIT = 1000


def complete(schema: Schema, frame: pd.DataFrame) -> Schema:
    """Return the schema with the missing ranges and vocabularies taken from the training rows.

    Raises:
        DataError: a category has more than 1,000 values: free text, or a key.
    """
    return msgspec.structs.replace(schema, features=tuple(_complete_feature(f, frame) for f in schema.features))


def _complete_feature(feature: Feature, frame: pd.DataFrame) -> Feature:
    if feature.kind in ("number", "integer") and feature.range is None and feature.is_input:
        column = frame[feature.name].dropna()
        span = (float(column.min()), float(column.max())) if len(column) else None
        return msgspec.structs.replace(feature, range=span)
    if feature.kind == "category" and feature.vocabulary is None and feature.is_input:
        values = sorted(str(value) for value in frame[feature.name].dropna().unique())
        if len(values) > _VOCABULARY_LIMIT:
            raise DataError(
                f"{feature.name} has {len(values)} values, a category at most {_VOCABULARY_LIMIT}: "
                "is it free text, a date or a key? Leave it out, or group its values in clean.py."
            )
        return msgspec.structs.replace(feature, vocabulary=tuple(values))
    return feature
