"""Sources of events that searches read: Elasticsearch where it is configured, else the prediction log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from monitoring.search.results import Event, Group, Totals, Window
from slipway.errors import NotFound, ServiceError, SettingsError, suggestion

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.settings import Settings

T = TypeVar("T")
Choice = Literal["auto", "elasticsearch", "parquet"]
CLOCKS_APART = timedelta(days=1)  # of the machines that make an id, its event and its label
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


def ask(question: Callable[[EventSource], T], config: Settings, choice: Choice = "auto") -> tuple[T, str, list[str]]:
    """Put a question to the source; returns the result, the source's name, and notes on what was not possible.

    By itself it takes Elasticsearch, and the log if that is not configured or does not respond.

    Raises:
        SettingsError: Elasticsearch was chosen and is not configured.
        ServiceError: the source that was chosen does not respond, or neither does.
    """
    from monitoring.search.parquet_source import ParquetSource

    notes = []
    if choice != "parquet" and _has_elasticsearch(config, choice):
        from monitoring.search.elasticsearch_source import ElasticsearchSource

        try:
            source: EventSource = ElasticsearchSource(config)
            return question(source), source.name, []
        except ServiceError as error:
            if choice == "elasticsearch":
                raise
            notes = [f"{error} The prediction log was read instead."]
    source = ParquetSource(config)
    return question(source), source.name, notes


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


def _has_elasticsearch(config: Settings, choice: Choice) -> bool:
    if not config.elasticsearch_url and choice == "elasticsearch":
        raise SettingsError("ELASTICSEARCH_URL is not set: set it, or leave out `--from elasticsearch`.")
    return bool(config.elasticsearch_url)
