"""Prediction event as a trace reads it: its fields, by the short names that people see, and its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.timestamps import iso

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

TRACED_FIELDS = {
    "at": "@timestamp",
    "role": "slipway.role",
    "version": "slipway.model_version",
    "digest": "slipway.bundle_sha256",
    "answered": "slipway.answered",
    "outcome": "event.outcome",
    "error": "error.type",
    "label": "slipway.label",
    "value": "slipway.value",
    "score": "slipway.score",
    "model_ms": "slipway.model_ms",
    "caller": "slipway.caller",
    "key": "slipway.key",
    "request": "http.request.id",
    "trace": "trace.id",
}


def first_label(labelled: DuckDBPyRelation) -> dict[str, Any] | None:
    """Read the label of the first row that `slipway.prediction_log.label_join` gives; None without a row."""
    found = labelled.select("label_true, value_true, known_at").fetchall()
    if not found:
        return None
    label, value, known_at = found[0]
    return {"label": label, "value": value, "known_at": iso(known_at, "microseconds")}
