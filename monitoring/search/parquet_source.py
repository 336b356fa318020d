"""The prediction log as a source of events: Parquet under SLIPWAY_LOG_URL, and the spool of this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitoring.governance.traced_event import first_label
from monitoring.log_shipping.shipper import usecases as spooled
from monitoring.search.event_fields import FEATURES, FIELDS, of_row
from monitoring.search.event_source import MOST_EVENTS, MOST_GROUPS
from monitoring.search.results import Event, Group, Totals, Window
from slipway.prediction_log import Log
from slipway.prediction_log.jsonl import feature_text, quoted
from slipway.prediction_log.layout import usecases as shipped
from slipway.storage import object_store
from slipway.timestamps import CLOCKS_APART, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.settings import Settings

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
GROUP BY ALL ORDER BY {{first}} number DESC, value LIMIT {MOST_GROUPS}"""


class ParquetSource:
    """The prediction log. It has no log lines: those of services are in Elasticsearch only."""

    has_log_lines = False

    def __init__(self, config: Settings) -> None:
        self.name = f"the prediction log under {config.log_root}"
        self._config = config

    def find(
        self, text: str, fields: Sequence[str], usecase: str | None, since: datetime, until: datetime | None = None
    ) -> list[Event]:
        names = ", ".join(quoted(name) for name in FIELDS.values())
        rows = [
            row
            for name in ([usecase] if usecase else self.usecases())
            for row in Log(self._config)
            .having(name, dict.fromkeys(fields, text), since, until)
            .order('"@timestamp" DESC')
            .limit(MOST_EVENTS)
            .select(names)
            .fetchall()
        ]
        return sorted(map(of_row, rows), key=lambda event: str(event["at"]), reverse=True)[:MOST_EVENTS]

    def label(self, event: Event) -> dict[str, Any] | None:
        since = parse(event["at"]) - CLOCKS_APART
        return first_label(Log(self._config).labelled_row(event["usecase"], event["id"], event["key"], since))

    def log_lines(self, traces: Collection[str]) -> list[Event]:
        return []

    def totals(self, usecase: str, window: Window) -> Totals:
        [row] = self._requested(usecase, window).query("requested", _TOTALS).fetchall()
        return Totals(*row)

    def groups(self, usecase: str, window: Window, field: str, by_failures: bool = False) -> list[Group]:
        query = _GROUPS.format(field=_expression(field), first="failed DESC," if by_failures else "")
        rows = self._requested(usecase, window).query("requested", query).fetchall()
        return [Group(value, number, failed, _counted(errors or [])) for value, number, failed, errors in rows]

    def refused(self, usecase: str, window: Window) -> list[Group] | None:
        return None

    def labelled(self, usecase: str, since: datetime) -> DuckDBPyRelation | None:
        return Log(self._config).labelled(usecase, since)

    def usecases(self) -> list[str]:
        known = shipped(object_store(self._config), self._config)
        here = (name for name in spooled(self._config.spool) if not name.startswith("_"))  # those are no use cases
        return sorted({*known, *here})

    def _requested(self, usecase: str, window: Window) -> DuckDBPyRelation:
        return Log(self._config).predictions(usecase, *window, answered=False).filter(_REQUESTED)


def _expression(field: str) -> str:
    """The text of a field, or of a feature."""
    if field.startswith(FEATURES):
        return feature_text(field.removeprefix(FEATURES))
    return f"{quoted(field)}::VARCHAR"


def _counted(errors: list[str]) -> dict[str, int]:
    """Count errors by type, the most frequent first."""
    names = sorted(set(errors), key=lambda name: (-errors.count(name), name))
    return {name: errors.count(name) for name in names}
