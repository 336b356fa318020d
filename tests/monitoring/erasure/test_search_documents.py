"""Erasure in Elasticsearch: a subject's documents leave every backing index of the streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from monitoring.erasure.search_documents import erase_documents
from monitoring.erasure.subject import Traces
from slipway.clients.elasticsearch import streams
from slipway.clients.elasticsearch.connection import connect
from slipway.errors import ServiceError
from slipway.settings import Settings
from tests.support.prediction_log.sample_events import label, prediction
from tests.support.prediction_log.subjects import BY_KEY, BY_ROW_KEY, KEY, OTHER, ROW_KEY

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

FIELDS = ("key", "row_id", "row_key", "usecase")


@pytest.fixture
def client(elk: Settings) -> Elasticsearch:
    """Provide the client of an environment whose streams have rolled over between two events of the subject."""
    client = connect(elk)
    properties = {"slipway": {"properties": {name: {"type": "keyword"} for name in FIELDS}}}
    client.indices.put_index_template(
        name=f"erasure-{elk.environment}",
        index_patterns=[f"logs-*-{elk.environment}"],
        priority=900,
        data_stream={},
        template={"mappings": {"dynamic": False, "properties": {"@timestamp": {"type": "date"}, **properties}}},
    )
    put = _putter(client, elk)
    put(streams.PREDICTION, prediction("a", key=KEY, row_key=ROW_KEY), prediction("b", key=OTHER))
    client.indices.rollover(alias=streams.stream(streams.PREDICTION, elk))
    put(streams.PREDICTION, prediction("a", role="shadow", answered=False), prediction("c"))
    put(streams.FEEDBACK, label(60, 60, row="a", label="bad"), label(61, 61, key=KEY, label="good"))
    put(streams.FEEDBACK, label(62, 62, row="b", label="good"))
    return client


def _putter(client: Elasticsearch, config: Settings) -> Callable[..., None]:
    def put(dataset: str, *lines: bytes) -> None:
        operations = []
        for line in lines:
            document = json.loads(line)
            operations += [{"create": {"_id": document["event"]["id"]}}, document]
        answer = client.bulk(index=streams.stream(dataset, config), operations=operations)
        assert not answer["errors"], answer

    return put


def rows_left(client: Elasticsearch, config: Settings, dataset: str) -> list[str | None]:
    name = streams.stream(dataset, config)
    client.indices.refresh(index=name)
    hits = client.search(index=name, size=100)["hits"]["hits"]
    return sorted(str(hit["_source"]["slipway"].get("row_id")) for hit in hits)


@pytest.mark.parametrize("subject", [BY_KEY, BY_ROW_KEY], ids=["by key", "by row key"])
def test_documents_of_the_subject_are_deleted_in_every_backing_index(
    elk: Settings, client: Elasticsearch, subject: object
) -> None:
    traces = Traces(rows={"a"}, keys={KEY})
    assert erase_documents(elk, subject, traces, dry_run=True) == 4
    assert erase_documents(elk, subject, traces) == 4
    assert rows_left(client, elk, streams.PREDICTION) == ["b", "c"]
    assert rows_left(client, elk, streams.FEEDBACK) == ["b"]
    assert erase_documents(elk, subject, traces) == 0


def test_a_stream_that_is_not_there_has_nothing_to_delete(elk: Settings) -> None:
    assert erase_documents(elk, BY_KEY, Traces()) == 0


def test_an_index_that_is_read_only_is_an_error_that_says_what_to_do(elk: Settings, client: Elasticsearch) -> None:
    client.indices.put_settings(index=streams.stream(streams.FEEDBACK, elk), settings={"index.blocks.write": True})
    with pytest.raises(ServiceError, match="Run the same command again"):
        erase_documents(elk, BY_KEY, Traces(rows={"a"}, keys={KEY}))
    client.indices.put_settings(index=streams.stream(streams.FEEDBACK, elk), settings={"index.blocks.write": False})
    assert erase_documents(elk, BY_KEY, Traces(rows={"a"}, keys={KEY})) > 0
    assert rows_left(client, elk, streams.FEEDBACK) == ["b"]


def test_an_elasticsearch_that_does_not_respond_is_an_error(elk: Settings) -> None:
    with pytest.raises(ServiceError, match="did not delete"):
        erase_documents(elk.model_copy(update={"elasticsearch_url": "http://127.0.0.1:9"}), BY_KEY, Traces())
