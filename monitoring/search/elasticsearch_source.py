"""Elasticsearch as a source of events: the data streams that `slipway ship` fills."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitoring.governance.traced_event import first_label
from monitoring.search.event_fields import of_document, value
from monitoring.search.event_source import MOST_EVENTS, MOST_GROUPS
from monitoring.search.labeled_documents import labeled_documents
from monitoring.search.results import Event, Group, Totals, Window
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import FEEDBACK, PREDICTION, SERVICE, stream
from slipway.clients.http import without_login
from slipway.errors import ServiceError
from slipway.prediction_log.jsonl import literal
from slipway.timestamps import CLOCKS_APART, iso, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.settings import Settings

Query = dict[str, Any]
Document = Mapping[str, Any]
MOST_LABELS = 10_000
_MOST_LINES = 500
_OF_A_SHARD = 1_000  # groups, of which the first ones over all shards are chosen
_AT_ONCE = 1_000  # values of one `terms` query, and documents of one page
_STATUS = "http.response.status_code"
_NEWEST = [{"@timestamp": "desc"}]
_FAILED = {"term": {"event.outcome": "failure"}}
_SUCCEEDED = {"bool": {"must_not": [_FAILED]}}
_IS_TEST = {"term": {"slipway.test": True}}
# A canary that fails has its rows answered by the champion: its callers got no error
_REQUESTED = {
    "bool": {
        "should": [
            {"term": {"slipway.answered": True}},
            {"bool": {"filter": [_FAILED, {"term": {"slipway.role": "champion"}}]}},
        ],
        "minimum_should_match": 1,
    }
}
_LOG_LINE = {
    "at": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "process": "process.name",
    "message": "message",
    "trace": "trace.id",
}


class ElasticsearchSource:
    """The data streams of this environment."""

    has_log_lines = True

    def __init__(self, config: Settings) -> None:
        self.name = f"Elasticsearch at {without_login(config.elasticsearch_url)}"
        self._config = config
        self._client = connect(config)

    def find(
        self, text: str, fields: Sequence[str], usecase: str | None, since: datetime, until: datetime | None = None
    ) -> list[Event]:
        conditions = [_within((since, until)), _any_of([{"term": {name: text}} for name in fields]), *_of(usecase)]
        return [of_document(found) for found in self._newest(PREDICTION, conditions, MOST_EVENTS)]

    def label(self, event: Event) -> dict[str, Any] | None:
        names = [{"term": {"slipway.row_id": event["id"]}}]
        if event["key"] is not None:
            names.append({"term": {"slipway.key": event["key"]}})
        since = parse(event["at"]) - CLOCKS_APART
        of_it = [_since(since), _any_of(names), *_of(event["usecase"])]
        feedback = self._newest(FEEDBACK, of_it, _AT_ONCE)
        # A key means the latest prediction with it: the others are needed to know
        answered = self._newest(PREDICTION, [*of_it, *_answered()], _AT_ONCE)
        joined = labeled_documents(answered, feedback, event["usecase"], self._config)
        if joined is None:
            return None
        found = joined.filter(f'"slipway.row_id" = {literal(event["id"])}')
        return first_label(found)

    def log_lines(self, traces: Collection[str]) -> list[Event]:
        conditions = [{"terms": {"trace.id": sorted(traces)}}]
        found = self._newest(SERVICE, conditions, _MOST_LINES)
        return [{short: value(line, name) for short, name in _LOG_LINE.items()} for line in reversed(found)]

    def usecases(self) -> list[str]:
        names = {"names": {"terms": {"field": "slipway.usecase", "size": _AT_ONCE}}}
        found = self._search(PREDICTION, size=0, aggs=names)
        return sorted(bucket["key"] for bucket in found["aggregations"]["names"]["buckets"])

    def totals(self, usecase: str, window: Window) -> Totals:
        means = {name: {"avg": {"field": name}} for name in ("event.duration", "slipway.model_ms", "slipway.score")}
        aggregations = {"failed": {"filter": _FAILED}, "succeeded": {"filter": _SUCCEEDED, "aggs": means}}
        found = self._aggregate(usecase, window, aggregations)
        failed, succeeded = found["failed"], found["succeeded"]
        duration = succeeded["event.duration"]["value"]
        return Totals(
            failed["doc_count"] + succeeded["doc_count"],
            failed["doc_count"],
            None if duration is None else duration / 1e6,
            succeeded["slipway.model_ms"]["value"],
            succeeded["slipway.score"]["value"],
        )

    def groups(self, usecase: str, window: Window, field: str, by_failures: bool = False) -> list[Group]:
        types = {"types": {"terms": {"field": "error.type"}}}
        order = [*([{"failed": "desc"}] if by_failures else []), {"_count": "desc"}, {"_key": "asc"}]
        terms = {"field": field, "size": MOST_GROUPS, "shard_size": _OF_A_SHARD, "order": order}
        failed = {"failed": {"filter": _FAILED, "aggs": types}}
        found = self._aggregate(usecase, window, {"groups": {"terms": terms, "aggs": failed}})
        return [_group(bucket) for bucket in found["groups"]["buckets"]]

    def refused(self, usecase: str, window: Window) -> list[Group] | None:
        callers = {"field": "slipway.caller", "size": MOST_GROUPS, "missing": ""}
        statuses = {"statuses": {"terms": {"field": _STATUS}}}
        path = {"regexp": {"url.path": f".*/v[12]/models/{re.escape(usecase)}([:/].*)?"}}
        query = {"bool": {"filter": [_within(window), path, {"range": {_STATUS: {"gte": 400}}}]}}
        found = self._search(SERVICE, query=query, size=0, aggs={"callers": {"terms": callers, "aggs": statuses}})
        buckets = found["aggregations"]["callers"]["buckets"] if "aggregations" in found else []
        return [_refused(bucket) for bucket in buckets]

    def labelled(self, usecase: str, since: datetime) -> DuckDBPyRelation | None:
        """Join the newest MOST_LABELS labels with the predictions that they name."""
        feedback = self._newest(FEEDBACK, [_since(since - CLOCKS_APART), *_of(usecase)], MOST_LABELS)
        answered = [
            document
            for name in ("slipway.row_id", "slipway.key")
            for document in self._named(name, feedback, [_since(since), *_of(usecase), *_answered()])
        ]
        return labeled_documents(answered, feedback, usecase, self._config)

    def _named(self, name: str, feedback: list[Document], conditions: list[Query]) -> Iterator[Document]:
        """Read the predictions that labels name by one of their fields."""
        names = sorted({str(found) for label in feedback if (found := value(label, name)) is not None})
        for start in range(0, len(names), _AT_ONCE):
            some = {"terms": {name: names[start : start + _AT_ONCE]}}
            yield from self._newest(PREDICTION, [*conditions, some], MOST_LABELS)

    def _newest(self, dataset: str, conditions: list[Query], most: int) -> list[Document]:
        """Read the newest documents that fulfil all conditions."""
        found = self._search(dataset, query={"bool": {"filter": conditions}}, size=most, sort=_NEWEST)
        return [hit["_source"] for hit in found["hits"]["hits"]]

    def _aggregate(self, usecase: str, window: Window, aggregations: Query) -> Query:
        chosen = {"bool": {"filter": [_within(window), _REQUESTED, *_of(usecase)], "must_not": [_IS_TEST]}}
        aggregated: Query = self._search(PREDICTION, query=chosen, size=0, aggs=aggregations).get("aggregations", {})
        if not aggregated:  # there is no stream
            name = stream(PREDICTION, self._config)
            raise ServiceError(
                f"{self.name} has no data stream {name}: `slipway elk setup` prepares it, `slipway ship` fills it."
            )
        return aggregated

    def _search(self, dataset: str, **search: Any) -> Query:
        """Search a stream; one that is not there yet has no documents. Part of a stream is none: "not found" is known
        of the whole only."""
        from elasticsearch import NotFoundError

        name = stream(dataset, self._config)
        with explained(self._config):
            try:
                found: Query = self._client.search(index=name, **search, allow_partial_search_results=False).body
            except NotFoundError as error:
                if error.error != "index_not_found_exception":  # but a proxy's
                    raise
                return {"hits": {"hits": []}}
        return found


def _group(bucket: Query) -> Group:
    errors = {each["key"]: each["doc_count"] for each in bucket["failed"]["types"]["buckets"]}
    shown = bucket.get("key_as_string", bucket["key"])
    return Group(str(shown), bucket["doc_count"], bucket["failed"]["doc_count"], errors)


def _refused(bucket: Query) -> Group:
    errors = {str(each["key"]): each["doc_count"] for each in bucket["statuses"]["buckets"]}
    return Group(bucket["key"], bucket["doc_count"], bucket["doc_count"], errors)


def _within(window: tuple[datetime, datetime | None]) -> Query:
    since, until = window
    return {"range": {"@timestamp": {"gte": iso(since)} | ({"lt": iso(until)} if until else {})}}


def _since(since: datetime) -> Query:
    return _within((since, None))


def _any_of(conditions: list[Query]) -> Query:
    return {"bool": {"should": conditions, "minimum_should_match": 1}}


def _of(usecase: str | None) -> list[Query]:
    return [{"term": {"slipway.usecase": usecase}}] if usecase else []


def _answered() -> list[Query]:
    return [{"term": {"slipway.answered": True}}, {"bool": {"must_not": [_IS_TEST]}}]
