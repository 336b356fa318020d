"""Choice of the source that a search reads: Elasticsearch if it is configured and responds, else the prediction log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from slipway.errors import ServiceError, SettingsError

if TYPE_CHECKING:
    from monitoring.search.event_source import EventSource
    from slipway.settings import Settings

T = TypeVar("T")
Choice = Literal["auto", "elasticsearch", "parquet"]


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


def _has_elasticsearch(config: Settings, choice: Choice) -> bool:
    if not config.elasticsearch_url and choice == "elasticsearch":
        raise SettingsError("ELASTICSEARCH_URL is not set: set it, or leave out `--from elasticsearch`.")
    return bool(config.elasticsearch_url)
