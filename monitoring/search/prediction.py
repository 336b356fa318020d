"""Search for predictions by a text, and everything that is known of the one that is found."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from monitoring.search.event_fields import IDS, SEARCHED, TRACE
from monitoring.search.event_source import MOST_EVENTS, EventSource
from monitoring.search.results import Event, FoundPredictions, Prediction
from slipway.contracts.events.prediction_event import MAX_TEXT
from slipway.errors import DataError, NotFound, RegistryError, ServiceError
from slipway.ids import made_ms
from slipway.timestamps import CLOCKS_APART, from_ms

if TYPE_CHECKING:
    from monitoring.governance.trace import Trace
    from slipway.settings import Settings

MOST_SHOWN = 50
_TRACE = re.compile(r"[0-9a-f]{32}")


def find_predictions(
    source: EventSource, text: str, config: Settings, since: datetime, usecase: str | None = None
) -> FoundPredictions:
    """Find the predictions of a text: an id of a response, `trace.id`, `X-Request-Id` or the caller's own key.

    Raises:
        DataError: the text can be no id and no key.
        NotFound: no event has it.
        ServiceError, OSError: the source does not respond.
    """
    _check(text)
    events = find_events(source, text, usecase, since)
    if not events:
        where = f"of {usecase} " if usecase else ""
        elsewhere = ", or in the log with --from parquet" if source.has_log_lines else ""
        raise NotFound(
            f"{source.name} has no prediction {where}in {config.environment} since {since:%Y-%m-%d %H:%M} UTC with the "
            f"id, trace.id, request id or key {text!r}. Look further back with --since 90d{elsewhere}. An event is "
            "there some seconds after its response, unless it was removed, pruned, or lost."
        )
    rows = _by_row(events)
    if len(rows) > 1:
        shown = [_prediction(each) for each in rows[:MOST_SHOWN]]
        return FoundPredictions(text, shown, len(rows) > MOST_SHOWN or len(events) == MOST_EVENTS)
    return FoundPredictions(text, [_whole(source, rows[0], config)])


def _check(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise DataError(f"the text has {len(text):,} characters: ids and keys have at most {MAX_TEXT:,}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"the text {text!r} is not valid UTF-8, as ids and keys are.") from None


def find_events(source: EventSource, text: str, usecase: str | None, since: datetime) -> list[Event]:
    """Find the events of a text: by an id at the time with which it begins, however long ago, else in every field."""
    is_trace = _TRACE.fullmatch(text) is not None
    # The service's own trace.id is a request's id without its dashes; an event's id is its row's, role and version
    id = str(uuid.UUID(text)) if is_trace else text.partition(":")[0]
    if milliseconds := made_ms(id):
        made, fields = from_ms(milliseconds), TRACE if is_trace else IDS
        if found := source.find(text, fields, usecase, made - CLOCKS_APART, made + CLOCKS_APART):
            return found
    return source.find(text, SEARCHED, usecase, since)


def _by_row(events: Sequence[Event]) -> list[list[Event]]:
    """Group events by row, the newest row first, and in a row the one first that the caller got."""

    def row(event: Event) -> tuple[str, str]:
        return event["usecase"], event["id"]

    grouped = [list(each) for _, each in groupby(sorted(events, key=row), row)]
    grouped = [sorted(each, key=lambda event: (not event["answered"], event["at"])) for each in grouped]
    return sorted(grouped, key=lambda each: str(each[0]["at"]), reverse=True)


def _prediction(events: list[Event]) -> Prediction:
    return Prediction(events[0]["usecase"], events[0]["id"], events)


def _whole(source: EventSource, found: list[Event], config: Settings) -> Prediction:
    """Look up everything else that is known of a row."""
    first = found[0]
    label = source.label(first)
    trace, problems = _trace(found, label, config)
    lines = source.log_lines({event["trace"] for event in found if event["trace"]})
    if not source.has_log_lines:
        problems.append("Log lines are not searched: they are in Elasticsearch only (ELASTICSEARCH_URL).")
    return Prediction(first["usecase"], first["id"], found, label, trace, lines, problems)


def _trace(events: list[Event], label: Event | None, config: Settings) -> tuple[Trace | None, list[str]]:
    """Trace the version's origin; the search has a result without it, too."""
    from monitoring.governance.trace import trace_events

    try:
        found = trace_events(events[0]["usecase"], events[0]["id"], events, label, config)
    except (RegistryError, ServiceError, OSError) as error:
        return None, [f"The version's data and gates are not known: {error}"]
    return found, list(found.problems)
