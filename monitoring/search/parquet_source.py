"""The prediction log as a source of events: Parquet under SLIPWAY_LOG_URL, and the spool of this machine."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from monitoring.log_shipping.shipper import usecases as spooled
from monitoring.search.event_fields import FEATURES, FIELDS, SEARCHED, of_row
from monitoring.search.event_source import MOST_EVENTS, MOST_GROUPS
from monitoring.search.results import Event, Group, Totals, Window
from slipway.ids import made_ms
from slipway.prediction_log import Log
from slipway.prediction_log.jsonl import feature_text, literal, quoted
from slipway.prediction_log.layout import usecases as shipped
from slipway.storage import object_store
from slipway.timestamps import from_ms, iso, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.settings import Settings

_AROUND = timedelta(days=1)  # between the clock that made an id, and that of its event
_FAILED = "\"event.outcome\" = 'failure'"
# A canary that fails has its rows answered by the champion: its callers got no error
_REQUESTED = f'"slipway.answered" OR ({_FAILED} AND "slipway.role" = \'champion\')'
_TOTALS = f"""
SELECT count(*), count(*) FILTER ({_FAILED}), avg("event.duration") FILTER (NOT {_FAILED}) / 1e6,
    avg("slipway.model_ms") FILTER (NOT {_FAILED}), avg("slipway.score") FILTER (NOT {_FAILED})
FROM requested"""
_GROUPS = f"""
SELECT {{field}} AS value, count(*) AS number, count(*) FILTER ({_FAILED}) AS failed,
    list("error.type") FILTER ({_FAILED} AND "error.type" IS NOT NULL) AS errors
FROM requested WHERE {{field}} IS NOT NULL
GROUP BY ALL ORDER BY failed DESC, number DESC, value LIMIT {MOST_GROUPS}"""


class ParquetSource:
    """The prediction log. It has no log lines: those of services are in Elasticsearch only."""

    has_log_lines = False

    def __init__(self, config: Settings) -> None:
        self.name = f"the prediction log under {config.log_root}"
        self._config = config

    def find(self, text: str, usecase: str | None, since: datetime) -> list[Event]:
        names = [usecase] if usecase else self._usecases()
        found = [event for name in names for event in self._find(text, name, since)]
        return sorted(found, key=lambda event: str(event["at"]), reverse=True)[:MOST_EVENTS]

    def label(self, event: Event) -> dict[str, Any] | None:
        at = parse(event["at"])
        labelled = Log(self._config).labelled(event["usecase"], at - _AROUND, at + _AROUND)
        found = labelled.filter(f'"slipway.row_id" = {literal(event["id"])}')
        return first_label(found.select("label_true, value_true, known_at").fetchall())

    def log_lines(self, traces: Collection[str]) -> list[Event]:
        return []

    def totals(self, usecase: str, window: Window) -> Totals:
        [row] = self._requested(usecase, window).query("requested", _TOTALS).fetchall()
        return Totals(*row)

    def groups(self, usecase: str, window: Window, field: str) -> list[Group]:
        query = _GROUPS.format(field=_expression(field))
        rows = self._requested(usecase, window).query("requested", query).fetchall()
        return [Group(value, number, failed, _counted(errors or [])) for value, number, failed, errors in rows]

    def refused(self, usecase: str, window: Window) -> list[Group] | None:
        return None

    def labelled(self, usecase: str, since: datetime) -> DuckDBPyRelation | None:
        return Log(self._config).labelled(usecase, since)

    def _usecases(self) -> list[str]:
        known = shipped(object_store(self._config), self._config)
        here = (name for name in spooled(self._config.spool) if not name.startswith("_"))  # those are no use cases
        return sorted({*known, *here})

    def _find(self, text: str, usecase: str, since: datetime) -> list[Event]:
        window = _window(text, since)
        has_text = " OR ".join(f"{quoted(name)} = {literal(text)}" for name in SEARCHED)
        events = Log(self._config).predictions(usecase, *window, answered=False, tests=True).filter(has_text)
        names = ", ".join(quoted(name) for name in FIELDS.values())
        rows = events.order('"@timestamp" DESC').limit(MOST_EVENTS).select(names).fetchall()
        return [of_row(row) for row in rows]

    def _requested(self, usecase: str, window: Window) -> DuckDBPyRelation:
        events = Log(self._config).predictions(usecase, *window, answered=False).filter(_REQUESTED)
        return cast("DuckDBPyRelation", events)


def first_label(rows: list[tuple[Any, ...]]) -> dict[str, Any] | None:
    """Read the label of a row from `label_true, value_true, known_at`; None without a row."""
    if not rows:
        return None
    label, value, known_at = rows[0]
    return {"label": label, "value": value, "known_at": iso(known_at, "microseconds")}


def _window(text: str, since: datetime) -> tuple[datetime, datetime | None]:
    """The days that can hold the text: an id begins with the time when it was made."""
    milliseconds = made_ms(text)
    if milliseconds is None:
        return since, None
    made = from_ms(milliseconds)
    return made - _AROUND, made + _AROUND


def _expression(field: str) -> str:
    """The text of a field, or of a feature."""
    if field.startswith(FEATURES):
        return feature_text(field.removeprefix(FEATURES))
    return f"{quoted(field)}::VARCHAR"


def _counted(errors: list[str]) -> dict[str, int]:
    """Count errors by type, the most frequent first."""
    names = sorted(set(errors), key=lambda name: (-errors.count(name), name))
    return {name: errors.count(name) for name in names}
