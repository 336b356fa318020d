"""Sources of events that searches read, Elasticsearch or the prediction log: what they have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from monitoring.search.results import Event, Group, Totals, Window
from slipway.errors import NotFound, suggestion

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

MOST_EVENTS = 1_000
MOST_GROUPS = 100


class EventSource(Protocol):
    """A source of events. Its methods raise ServiceError if it does not respond."""

    name: str
    has_log_lines: bool

    def find(
        self, text: str, fields: Sequence[str], usecase: str | None, since: datetime, until: datetime | None = None
    ) -> list[Event]:
        """Find at most MOST_EVENTS events that have the text in one of the fields, newest first."""

    def label(self, event: Event) -> dict[str, Any] | None:
        """Find the label that counts for the prediction, by the rule of `slipway.prediction_log.label_join`."""

    def log_lines(self, traces: Collection[str]) -> list[Event]:
        """Find the log lines of requests, the oldest first."""

    def usecases(self) -> list[str]:
        """List the use cases that have predictions."""
        ...

    def totals(self, usecase: str, window: Window) -> Totals:
        """Count the rows that callers asked for."""
        ...

    def groups(self, usecase: str, window: Window, field: str, by_failures: bool = False) -> list[Group]:
        """Group these rows by a field, without those that have no value; at most MOST_GROUPS, most rows first.

        `by_failures` has those with most failures first.
        """
        ...

    def refused(self, usecase: str, window: Window) -> list[Group] | None:
        """Group the requests that the service refused by caller, "" if unknown; None without log lines."""
        ...

    def labelled(self, usecase: str, since: datetime) -> DuckDBPyRelation | None:
        """Read answered predictions with their labels, as `Log.labelled` does; None if there is none."""
        ...


def require_usecase(source: EventSource, usecase: str) -> None:
    """Refuse a use case that has no predictions.

    Raises:
        NotFound: the source has none of it; the message names those that it has.
    """
    known = source.usecases()
    if usecase not in known:
        raise NotFound(
            f"{source.name} has no predictions of {usecase!r}.{suggestion(usecase, known)} It has those of: "
            f"{', '.join(known) or 'no use case'}."
        )
