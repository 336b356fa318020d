"""The prediction event and the feedback event: one JSON line each, in Elastic Common Schema (8.17).

Serving writes them, monitoring reads them, and neither knows more of the other than this module.
"""

from __future__ import annotations

from typing import Any

import msgspec

MAX_TEXT = 1024  # characters of a text that a caller chooses, a key or a category
MAX_TEXTS = 1 << 21  # characters of all texts of one event: its line is shorter than readers of the log take
PREDICTION_COLUMNS = {
    "@timestamp": "TIMESTAMPTZ",
    "event.id": "VARCHAR",
    "event.outcome": "VARCHAR",
    "event.duration": "BIGINT",
    "error.type": "VARCHAR",
    "trace.id": "VARCHAR",
    "http.request.id": "VARCHAR",
    "service.name": "VARCHAR",
    "service.version": "VARCHAR",
    "service.environment": "VARCHAR",
    "slipway.contract": "INTEGER",
    "slipway.usecase": "VARCHAR",
    "slipway.model_version": "VARCHAR",
    "slipway.bundle_sha256": "VARCHAR",
    "slipway.role": "VARCHAR",
    "slipway.answered": "BOOLEAN",
    "slipway.row_id": "VARCHAR",
    "slipway.row_key": "VARCHAR",
    "slipway.split_bucket": "INTEGER",
    "slipway.key": "VARCHAR",
    "slipway.caller": "VARCHAR",
    "slipway.features": "JSON",
    "slipway.label": "VARCHAR",
    "slipway.value": "DOUBLE",
    "slipway.score": "DOUBLE",
    "slipway.probabilities": "JSON",
    "slipway.warnings": "JSON",
    "slipway.cached": "BOOLEAN",
    "slipway.model_ms": "DOUBLE",
    "slipway.test": "BOOLEAN",
}


def logged_features(text: str | None) -> dict[str, Any]:
    """The features of a logged event by name; none if the log holds something else than an object."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


class EventRequest(msgspec.Struct, frozen=True):
    """The common part of the events of one request's rows: nothing that JSON would escape."""

    trace_id: str
    request_id: str
    duration_ns: int
    caller: str | None = None
    is_test: bool = False
