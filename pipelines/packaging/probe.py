"""Rows of `serve/probe.json`, for which every copy of the network must compute the same outputs."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd

from slipway.contracts.schema import Feature, Schema
from slipway.inference import encode_png, rows_from_frame

MOST_ROWS = 200
_SEED = 7


def probe_rows(schema: Schema, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Draw at most 200 of the frame's masked rows, as JSON of a request."""
    chosen = frame.sample(min(MOST_ROWS, len(frame)), random_state=_SEED)
    kept = [feature for feature in schema.features if feature.private != "drop"]
    rows = rows_from_frame(schema, chosen)
    return [{f.name: _as_json(row.get(f.name), f) for f in kept} for row in rows]


def _as_json(value: Any, feature: Feature) -> Any:
    if value is None:
        return None
    if feature.kind == "image":
        return {"b64": base64.b64encode(encode_png(value)).decode()}
    return int(value) if feature.kind == "integer" else value
