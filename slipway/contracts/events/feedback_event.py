"""The feedback event: ground truth for a prediction, one JSON line."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from slipway.contracts.schema import CONTRACT
from slipway.ids import uuid7

AHEAD = timedelta(minutes=5)  # of the server's clock may its callers' be
OLDEST = timedelta(days=3653)  # ten years: an older time is a mistake
_encode = msgspec.json.Encoder().encode
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


def is_plausible(known_at: datetime, now: datetime) -> bool:
    """Whether a label may have been known then: in the last ten years, and not in the future. Both have a zone."""
    return now - OLDEST <= known_at <= now + AHEAD


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
    """Encode a label for the prediction `row`, or for the caller's own `key`; returns the event's id and its line."""
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
