"""Erasure in Elasticsearch: a subject's documents leave every backing index of the streams, and the refused ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from monitoring.elk.setup import apply, plan
from monitoring.erasure.erasure import forget
from monitoring.erasure.search_documents import erase_documents, erase_refused
from monitoring.erasure.subject import Traces
from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.bulk import Refusal
from monitoring.log_shipping.elasticsearch_sink import ElasticsearchSink
from monitoring.log_shipping.event_lines import parse
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink, Totals
from slipway.clients.elasticsearch import streams
from slipway.clients.elasticsearch.connection import connect
from slipway.errors import ServiceError
from slipway.prediction_log import segments
from slipway.settings import Settings
from slipway.storage import object_store
from tests.support.prediction_log.sample_events import USECASE, label, prediction
from tests.support.prediction_log.subjects import BY_KEY, BY_ROW_KEY, KEY, OTHER, OTHERS, ROW_KEY, left_of, write_events

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


@pytest.fixture
def client(elk: Settings) -> Elasticsearch:
    """Provide the client of an environment whose streams have rolled over between two events of the subject."""
    client = connect(elk)
    apply(client, elk, plan(client, elk), lambda done: None)
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
    with pytest.raises(ServiceError, match="Remove its write block, .* run the same command again"):
        erase_documents(elk, BY_KEY, Traces(rows={"a"}, keys={KEY}))
    client.indices.put_settings(index=streams.stream(streams.FEEDBACK, elk), settings={"index.blocks.write": False})
    assert erase_documents(elk, BY_KEY, Traces(rows={"a"}, keys={KEY})) > 0
    assert rows_left(client, elk, streams.FEEDBACK) == ["b"]


def test_an_elasticsearch_that_does_not_respond_is_an_error(elk: Settings) -> None:
    with pytest.raises(ServiceError, match="cannot be reached"):
        erase_documents(elk.model_copy(update={"elasticsearch_url": "http://127.0.0.1:9"}), BY_KEY, Traces())


@pytest.mark.usefixtures("elk")
def test_a_segment_that_elasticsearch_has_in_part_is_not_sent_twice(
    config: Settings, write: Callable[..., None]
) -> None:
    """The shipper was killed after it sent the spool, and the stream rolls over before it goes on."""
    client, name = connect(config), streams.stream(streams.PREDICTION, config)
    apply(client, config, plan(client, config), lambda done: None)
    write_events(write)
    for segment in segments(config.spool, USECASE):
        ElasticsearchSink(config, Totals()).take(USECASE, segment)
    client.indices.rollover(alias=name)
    done = forget(BY_KEY, config)
    assert (done.predictions, done.labels, done.documents) == (1, 2, 4)
    assert not Shipper(config, [ParquetSink(config), ElasticsearchSink(config, Totals())]).ship().failed
    assert rows_left(client, config, streams.PREDICTION) == OTHERS
    assert segments(config.spool, USECASE) == []
    assert left_of(config, KEY, ROW_KEY) == []


@pytest.mark.parametrize("moved", [False, True], ids=["in the spool", "in the object store"])
def test_refused_documents_of_the_subject_are_removed(
    config: Settings, write: Callable[..., None], moved: bool
) -> None:
    mixed, own = [prediction("a", key=KEY), prediction("b", key=OTHER)], [prediction("a", 3, key=KEY)]
    store = object_store(config)
    write(*mixed)
    [segment] = segments(config.spool, USECASE)
    for byte, lines in enumerate((mixed, own)):
        documents = [document for line in lines if (document := parse(line))]
        refused_documents.keep(segment, byte, [Refusal(each, 400, "mapping", "not a date") for each in documents])
    for path in refused_documents.waiting(config.spool, USECASE) if moved else ():
        refused_documents.move(path, USECASE, config, store)
    assert erase_refused(config, BY_KEY, Traces(rows={"a"}), dry_run=True) == 2
    assert forget(BY_KEY, config).documents == 2
    waiting = refused_documents.waiting(config.spool, USECASE)
    left = [path.read_bytes() for path in waiting]
    left += [store.read(name) for name in refused_documents.names(config, store, USECASE)]
    [(_, document)] = refused_documents.read(left[0])
    assert (len(left), document.line) == (1, mixed[1].strip())
