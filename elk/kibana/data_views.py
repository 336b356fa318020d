"""Data views: the data streams that people search. Their ids never change: bookmarks and Grafana's links name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataView:
    """A data view; `pattern` covers the streams of all environments, and `formats` show numbers with their unit."""

    id: str
    name: str
    pattern: str
    formats: tuple[tuple[str, dict[str, Any]], ...] = ()


_NANOSECONDS = {
    "id": "duration",
    "params": {"inputFormat": "nanoseconds", "outputFormat": "asMilliseconds", "outputPrecision": 1},
}
PREDICTIONS = DataView(
    "slipway-predictions",
    "Slipway predictions",
    "logs-slipway.prediction-*",
    (("event.duration", _NANOSECONDS), ("slipway.score", {"id": "number", "params": {"pattern": "0.000"}})),
)
FEEDBACK = DataView("slipway-feedback", "Slipway labels", "logs-slipway.feedback-*")
SERVICE = DataView("slipway-service", "Slipway log lines", "logs-slipway.service-*")
AUDIT = DataView("slipway-audit", "Slipway audit", "logs-slipway.audit-*")
EVERYTHING = DataView("slipway-all", "Slipway: all streams", "logs-slipway.*-*")
DATA_VIEWS = (PREDICTIONS, FEEDBACK, SERVICE, AUDIT, EVERYTHING)
