"""Comparison of Parquet and Elasticsearch: the events of each hour on both sides, and ids that the latter lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from monitoring.log_shipping.refill import ROWS, events
from monitoring.log_shipping.stream_contents import present
from slipway.clients.elasticsearch import failures, streams
from slipway.prediction_log.layout import STREAMS, usecases
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import iso, readable

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

NAMED = 3
_HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Hour:
    """An hour in which the two sides differ; `lacking` are some ids that Elasticsearch lacks."""

    usecase: str
    stream: str
    start: datetime
    parquet: int
    elasticsearch: int
    lacking: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "usecase": self.usecase,
            "stream": self.stream,
            "hour": iso(self.start, "seconds"),
            "parquet": self.parquet,
            "elasticsearch": self.elasticsearch,
            "lacking": list(self.lacking),
        }

    def __str__(self) -> str:
        counts = f"{self.parquet} in Parquet, {self.elasticsearch} in Elasticsearch"
        named = f"; it lacks {', '.join(self.lacking)}" if self.lacking else ""
        return f"{self.usecase}: {self.stream} events of the hour from {readable(self.start)}: {counts}{named}"


@dataclass(frozen=True)
class Comparison:
    """The events on both sides in all, and the hours in which they differ."""

    parquet: int
    elasticsearch: int
    hours: tuple[Hour, ...]

    def to_dict(self) -> dict[str, Any]:
        hours = [hour.to_dict() for hour in self.hours]
        return {"parquet": self.parquet, "elasticsearch": self.elasticsearch, "hours": hours}


def compare(settings: Settings, client: Elasticsearch, since: datetime, until: datetime) -> Comparison:
    """Count both sides by hour.

    Raises:
        ServiceError: Elasticsearch does not respond.
    """
    parquet = elasticsearch = 0
    differing: list[Hour] = []
    for usecase in usecases(object_store(settings), settings):
        for stream in STREAMS:
            there = _in_parquet(settings, stream, usecase, since, until)
            found = _in_elasticsearch(settings, client, stream, usecase, since, until)
            parquet, elasticsearch = parquet + sum(there.values()), elasticsearch + sum(found.values())
            for hour in sorted(there.keys() | found.keys()):
                counts = there.get(hour, 0), found.get(hour, 0)
                if counts[0] != counts[1]:
                    found_hour = Hour(usecase, stream, _instant(hour), *counts)
                    differing.append(_named(settings, client, found_hour, since, until))
    return Comparison(parquet, elasticsearch, tuple(differing))


def _in_parquet(settings: Settings, stream: str, usecase: str, since: datetime, until: datetime) -> dict[int, int]:
    """Count events by hour, in hours since 1970."""
    hour = f'epoch_us("@timestamp") // {_HOUR_SECONDS * 10**6}'
    relation = events(settings, stream, usecase, since, until)
    counts = relation.aggregate(f"{hour} AS hour, count(*) AS events", hour).fetchall()
    return {int(start): int(count) for start, count in counts}


def _in_elasticsearch(
    settings: Settings, client: Elasticsearch, stream: str, usecase: str, since: datetime, until: datetime
) -> dict[int, int]:
    window = {"gte": iso(since, "microseconds"), "lt": iso(until, "microseconds")}
    filters = [{"term": {"slipway.usecase": usecase}}, {"range": {"@timestamp": window}}]
    histogram = {"field": "@timestamp", "fixed_interval": "1h", "min_doc_count": 1}
    target = streams.stream(f"slipway.{stream}", settings)
    with failures.explained(settings):
        client.indices.refresh(index=target, ignore_unavailable=True)  # what came a moment ago is not counted otherwise
        response = client.search(
            index=target,
            ignore_unavailable=True,
            allow_partial_search_results=False,
            query={"bool": {"filter": filters}},
            aggs={"hours": {"date_histogram": histogram}},
            size=0,
        )
    buckets = response.body.get("aggregations", {}).get("hours", {}).get("buckets", [])
    return {bucket["key"] // (_HOUR_SECONDS * 1000): bucket["doc_count"] for bucket in buckets}


def _named(settings: Settings, client: Elasticsearch, hour: Hour, since: datetime, until: datetime) -> Hour:
    """The hour with some of the ids that Elasticsearch lacks."""
    end = _instant(int(hour.start.timestamp()) // _HOUR_SECONDS + 1)
    ids = _ids(settings, hour, max(hour.start, since), min(end, until))
    target = streams.stream(f"slipway.{hour.stream}", settings)
    lacking = (id for some in ids for id in sorted(set(some) - present(client, target, some)))
    named = tuple(islice(lacking, NAMED))
    return Hour(hour.usecase, hour.stream, hour.start, hour.parquet, hour.elasticsearch, named)


def _ids(settings: Settings, hour: Hour, since: datetime, until: datetime) -> Iterator[list[str]]:
    relation = events(settings, hour.stream, hour.usecase, since, until).select('"event.id"')
    for rows in relation.to_arrow_reader(ROWS):
        yield rows.column(0).to_pylist()


def _instant(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
