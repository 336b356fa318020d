"""Fields of prediction events that searches show, read alike from Elasticsearch's documents and from the log's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from monitoring.governance.traced_event import TRACED_FIELDS
from monitoring.search.results import Event
from slipway.timestamps import iso, parse

FIELDS = {
    "id": "slipway.row_id",
    "event": "event.id",
    "usecase": "slipway.usecase",
    **TRACED_FIELDS,
    "probabilities": "slipway.probabilities",
    "features": "slipway.features",
    "warnings": "slipway.warnings",
    "cached": "slipway.cached",
    "duration_ns": "event.duration",
    "test": "slipway.test",
}
IDS = ("slipway.row_id", "event.id", "http.request.id")
"""Fields whose texts the service made, as a rule, so that they begin with the time."""
TRACE = ("trace.id",)
SEARCHED = (*IDS, *TRACE, "slipway.key")
"""Fields that a text is looked for in."""
FEATURES = "slipway.features."
_AS_JSON = ("probabilities", "features", "warnings")


def of_document(document: Mapping[str, Any]) -> Event:
    """Read an event from Elasticsearch's document."""
    return _event({short: value(document, name) for short, name in FIELDS.items()})


def of_row(row: Sequence[Any]) -> Event:
    """Read an event from a row of the log, with a column for each of FIELDS, in order."""
    found = dict(zip(FIELDS, row, strict=True))
    return _event({**found, **{name: msgspec.json.decode(found[name] or "null") for name in _AS_JSON}})


def value(document: Mapping[str, Any], name: str) -> Any:
    """Read a dotted field of a document; its parents may be objects, or parts of a dotted key.

    >>> value({"log": {"level": "info"}}, "log.level"), value({"log.level": "info"}, "log.level")
    ('info', 'info')
    """
    if name in document:
        return document[name]
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        parent = document.get(".".join(parts[:size]))
        if isinstance(parent, Mapping) and (found := value(parent, ".".join(parts[size:]))) is not None:
            return found
    return None


def _event(found: Event) -> Event:
    at = found["at"]
    moment = at if isinstance(at, datetime) else parse(at)
    return {**found, "at": iso(moment, "microseconds"), "test": bool(found["test"])}
