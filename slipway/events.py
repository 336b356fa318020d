"""The prediction event and the feedback event: one JSON line each, in Elastic Common Schema (8.17).

Serving writes them, monitoring reads them, and neither knows more of the other than this module.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from slipway.schema import CONTRACT

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
}
FEEDBACK_COLUMNS = {
    "@timestamp": "TIMESTAMPTZ",
    "event.id": "VARCHAR",
    "trace.id": "VARCHAR",
    "service.name": "VARCHAR",
    "service.environment": "VARCHAR",
    "slipway.contract": "INTEGER",
    "slipway.usecase": "VARCHAR",
    "slipway.row_id": "VARCHAR",
    "slipway.key": "VARCHAR",
    "slipway.label": "VARCHAR",
    "slipway.value": "DOUBLE",
    "slipway.known_at": "TIMESTAMPTZ",
    "slipway.caller": "VARCHAR",
}
_encode = msgspec.json.Encoder().encode


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def row_id(request: str, index: int) -> str:
    """The id of a row: the request's UUID and the row's place in it."""
    return f"{request}-{index}"


def event_id(row: str, role: str, version: str) -> str:
    """The id of a prediction's event: sent twice, it still counts once."""
    return f"{row}:{role}:{version}"


def now_iso() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class PredictionContext(msgspec.Struct, frozen=True):
    """What the events of one request, answered by one model in one role, have in common."""

    environment: str
    usecase: str
    version: str
    bundle_sha256: str
    role: str
    answered: bool
    trace_id: str
    request_id: str
    timestamp: str
    duration_ns: int
    model_ms: float
    outcome: str = "success"
    error_type: str | None = None
    caller: str | None = None
    cached: bool = False

    def line(
        self,
        row: str,
        features: Mapping[str, Any],
        *,
        row_key: str | None = None,
        split_bucket: int | None = None,
        key: str | None = None,
        label: str | None = None,
        value: float | None = None,
        score: float | None = None,
        probabilities: Mapping[str, float] | None = None,
        warnings: Sequence[Mapping[str, str]] = (),
    ) -> bytes:
        """The event of one row, with the newline that ends it.

        `features` are masked; an image is its four statistics and `sha256`. `warnings` are `{feature, reason}`.
        """
        event: dict[str, Any] = {
            "@timestamp": self.timestamp,
            "event": {
                "id": event_id(row, self.role, self.version),
                "outcome": self.outcome,
                "duration": self.duration_ns,
            },
            "trace": {"id": self.trace_id},
            "http": {"request": {"id": self.request_id}},
            "service": {"name": "slipway", "version": self.version, "environment": self.environment},
            "slipway": {
                "contract": CONTRACT,
                "usecase": self.usecase,
                "model_version": self.version,
                "bundle_sha256": self.bundle_sha256,
                "role": self.role,
                "answered": self.answered,
                "row_id": row,
                "row_key": row_key,
                "split_bucket": split_bucket,
                "key": key,
                "caller": self.caller,
                "features": features,
                "label": label,
                "value": value,
                "score": score,
                "probabilities": probabilities,
                "warnings": warnings,
                "cached": self.cached,
                "model_ms": self.model_ms,
            },
        }
        if self.error_type is not None:
            event["error"] = {"type": self.error_type}
        return _encode(event) + b"\n"


def feedback_line(
    *,
    environment: str,
    usecase: str,
    trace_id: str,
    timestamp: str,
    known_at: str,
    row: str | None = None,
    key: str | None = None,
    label: str | None = None,
    value: float | None = None,
    caller: str | None = None,
) -> tuple[str, bytes]:
    """The id and the line of a label that became known, for the prediction `row` or the caller's own `key`."""
    identity = uuid7()
    event = {
        "@timestamp": timestamp,
        "event": {"id": identity},
        "trace": {"id": trace_id},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {
            "contract": CONTRACT,
            "usecase": usecase,
            "row_id": row,
            "key": key,
            "label": label,
            "value": value,
            "known_at": known_at,
            "caller": caller,
        },
    }
    return identity, _encode(event) + b"\n"
