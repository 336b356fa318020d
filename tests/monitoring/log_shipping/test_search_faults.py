"""Bad input and faults between the shipper and a real Elasticsearch: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from elasticsearch import Elasticsearch

from benchmarks.monitoring.child_process import measure
from benchmarks.tables.reader import apart
from monitoring.elk.setup import apply, plan
from monitoring.log_shipping import delivery, refused_documents
from monitoring.log_shipping.shipper import Shipped, Shipper, configured_sinks
from monitoring.log_shipping.sinks import Totals
from monitoring.search.prediction import find_events
from monitoring.search.source_choice import ask
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import PREDICTION, stream
from slipway.prediction_log import Log, segments
from slipway.prediction_log.jsonl import MAX_LINE
from slipway.settings import Settings, settings
from slipway.storage import object_store
from tests.support.prediction_log.log_fixtures import write_segment
from tests.support.prediction_log.sample_events import START, USECASE, prediction
from tests.support.s3 import ClosableProxy
from tests.support.waiting import until

MOST_MB = 300
LONG_AGO = f"{START - timedelta(days=1):%Y-%m-%d}"
HOSTILE = ['"', "*", "a OR b", "\\", "_id:1", "key:*", "%s", "\u202e", "𝔘" * 1000, "null", "0", "'; --"]


@pytest.fixture
def client(elk: Settings) -> Elasticsearch:
    """The client, after the setup of the streams."""
    client = connect(elk)
    apply(client, elk, plan(client, elk), lambda _: None)
    return client


@pytest.fixture
def target(elk: Settings) -> str:
    return stream(PREDICTION, elk)


@pytest.fixture
def proxy(elk: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClosableProxy]:
    """Provide a proxy in front of the server, which the settings name from then on."""
    between = ClosableProxy(urlsplit(elk.elasticsearch_url).port or 9200)
    monkeypatch.setenv("ELASTICSEARCH_URL", between.url)
    settings.cache_clear()
    yield between
    between.close()


def ship(config: Settings) -> Shipped:
    totals = Totals()
    return Shipper(config, configured_sinks(config, totals), totals).ship()


def ids(client: Elasticsearch, target: str) -> Counter[str]:
    """Count the documents of each id, over all indices of the stream."""
    client.indices.refresh(index=target)
    found = client.search(index=target, size=1_000, source=False)
    return Counter(hit["_id"].partition(":")[0] for hit in found["hits"]["hits"])


def test_a_line_of_50_mb_between_events_costs_neither_them_nor_memory(elk: Settings, client, target) -> None:
    long = b'{"event":{"id":"long"},"@timestamp":"2026-03-01T00:00:00Z","a":"' + b"x" * (50 << 20) + b'"}\n'
    write_segment(elk, prediction("a"), long, prediction("b"))
    environment = {"SLIPWAY_VAR": str(elk.var), "SLIPWAY_USECASES": str(elk.usecases)}
    environment |= {"SLIPWAY_ENVIRONMENT": elk.environment, "ELASTICSEARCH_URL": elk.elasticsearch_url}
    found = apart(measure, ["-m", "slipway.cli", "ship", "--once"], environment)
    assert found.peak_mb <= MOST_MB
    assert ids(client, target) == {"a": 1, "b": 1}
    assert segments(elk.spool, USECASE) == []


def test_the_largest_event_is_there_whole(elk: Settings, client, target) -> None:
    event = json.loads(prediction("large"))
    event["slipway"]["features"] = {"note": "x" * (MAX_LINE - 4096)}
    write_segment(elk, json.dumps(event).encode())
    assert ship(elk).failed == []
    assert ids(client, target) == {"large": 1}
    [hit] = client.search(index=target)["hits"]["hits"]
    assert len(hit["_source"]["slipway"]["features"]["note"]) == MAX_LINE - 4096


def test_what_elasticsearch_cannot_take_is_kept_with_its_reason_and_stops_nothing(
    elk: Settings, client, target
) -> None:
    plain = prediction("x").decode()
    deep = '{"a":' * 30 + "1" + "}" * 30  # a flattened field takes 20 levels
    wrong = [
        ("action_request_validation_exception", plain.replace("x:champion:1", "i" * 600)),
        ("illegal_argument_exception", plain.replace("x:champion:1", "")),
        *(
            ("document_parsing_exception", plain.replace('"features":{', f'"features":{{{features},'))
            for features in ('"a":1,"a":2', '"a\\u0000":1', f'"a":{deep}')
        ),
    ]
    for number, (_, line) in enumerate(wrong):
        lines = prediction(f"r{number}"), line.replace("x:", f"x{number}:").encode()
        write_segment(elk, *lines)
    totals = Totals()
    shipping = Shipper(elk, configured_sinks(elk, totals), totals)
    assert shipping.ship().failed == shipping.ship().failed == []
    assert ids(client, target) == {f"r{number}": 1 for number in range(len(wrong))}
    store = object_store(elk)
    files = [store.read(name) for name in refused_documents.names(elk, store, USECASE)]
    kept = [json.loads(line) for file in files for line in file.splitlines()]
    assert sorted(each["type"] for each in kept) == sorted(kind for kind, _ in wrong)
    assert all(each["reason"] for each in kept)
    assert totals.refused == {USECASE: len(wrong)}


def test_what_was_shipped_without_elasticsearch_is_named_and_sent_later(
    elk: Settings, client, target, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(elk, prediction("first"))
    assert ship(elk).failed == []
    write_segment(elk, *(prediction(f"r{number}") for number in range(20)))
    client.indices.put_settings(index=target, settings={"index.blocks.write": True})
    assert "did not reach Elasticsearch" in ship(elk).failed[0]  # Parquet has them, and the segment waits
    client.indices.put_settings(index=target, settings={"index.blocks.write": None})
    with monkeypatch.context() as patch:
        patch.delenv("ELASTICSEARCH_URL")
        settings.cache_clear()
        assert ship(settings()).failed == [] and segments(elk.spool, USECASE) == []
    settings.cache_clear()
    ran = cli("ship", "--compare", "--since", LONG_AGO, "--json")
    [hour] = json.loads(ran.out)["hours"]
    assert (ran.code, hour["parquet"], hour["elasticsearch"], len(hour["lacking"])) == (1, 21, 1, 3)
    assert cli("ship", "--replay", LONG_AGO).code == 0
    assert ids(client, target) == {"first": 1} | {f"r{number}": 1 for number in range(20)}
    assert len(Log(elk).predictions(USECASE).fetchall()) == 21


def test_texts_of_callers_are_found_as_they_are_and_mean_nothing_else(elk: Settings, client, target) -> None:
    write_segment(elk, *(prediction(f"r{number}", key=text) for number, text in enumerate(HOSTILE)))
    assert ship(elk).failed == []
    client.indices.refresh(index=target)
    since = START - timedelta(days=1)
    for number, text in enumerate(HOSTILE):
        found, *_ = ask(lambda source, text=text: find_events(source, text, USECASE, since), elk, "elasticsearch")
        assert [event["id"] for event in found] == [f"r{number}"], text


def test_an_index_that_somebody_deleted_is_filled_again_from_parquet(elk: Settings, client, target, cli) -> None:
    write_segment(elk, prediction("a"))
    assert ship(elk).failed == []
    [first] = client.indices.get(index=target)
    client.indices.rollover(alias=target)
    client.indices.delete(index=first)
    write_segment(elk, prediction("b"))
    assert ship(elk).failed == []
    assert ids(client, target) == {"b": 1}
    assert cli("ship", "--compare", "--since", LONG_AGO).code == 1
    for _ in range(2):
        assert cli("ship", "--replay", LONG_AGO).code == 0
        assert ids(client, target) == {"a": 1, "b": 1}
    assert cli("ship", "--compare", "--since", LONG_AGO).code == 0


def test_a_bulk_whose_response_does_not_come_is_not_written_again_after_a_roll_over(
    elk: Settings, client, target, proxy: ClosableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "REQUEST_SECONDS", 0.5)
    lines = [prediction(f"r{number}") for number in range(50)]
    write_segment(settings(), *lines)
    proxy.held = 1.5
    [failed] = ship(settings()).failed
    assert "did not reach Elasticsearch" in failed and len(segments(elk.spool, USECASE)) == 1
    proxy.held = 0.0
    until(lambda: client.indices.exists(index=target) and len(ids(client, target)) == len(lines))
    client.indices.rollover(alias=target)
    assert ship(settings()).failed == []
    assert ids(client, target) == {f"r{number}": 1 for number in range(50)}
    assert len(Log(elk).predictions(USECASE).fetchall()) == len(lines)


def test_a_connection_that_is_cut_in_a_bulk_costs_nothing(elk: Settings, client, target, proxy: ClosableProxy) -> None:
    write_segment(settings(), *(prediction(f"r{number}") for number in range(50)))
    proxy.open = False
    assert "did not reach Elasticsearch" in ship(settings()).failed[0]
    assert len(Log(elk).predictions(USECASE).fetchall()) == 50
    assert list(Path(elk.log_root).rglob("*.parquet"))  # it waits for nobody
    proxy.open = True
    assert ship(settings()).failed == []
    assert ids(client, target) == {f"r{number}": 1 for number in range(50)}


def test_a_plain_index_in_place_of_the_stream_gets_nothing_and_costs_nothing(
    elk: Settings, target, cli: Callable
) -> None:
    client = connect(elk)
    client.indices.create(index=target)  # before any template could make it a stream
    write_segment(elk, prediction("a"))
    ship(elk)
    client.indices.refresh(index=target)
    assert client.count(index=target)["count"] == 0
    client.indices.delete(index=target)
    apply(client, elk, plan(client, elk), lambda _: None)
    assert ship(elk).failed == []
    assert cli("ship", "--replay", LONG_AGO).code == 0  # whether it waited, or was kept as refused
    assert ids(client, target) == {"a": 1}


def test_a_full_disk_under_the_checkpoint_stops_nothing_for_good(
    elk: Settings, client, target, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(elk, prediction("a"))
    truncate = os.truncate

    def full(path: object, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "truncate", full)
    assert "No space left on device" in ship(elk).failed[0]
    assert len(segments(elk.spool, USECASE)) == 1
    monkeypatch.setattr(os, "truncate", truncate)
    assert ship(elk).failed == []
    assert ids(client, target) == {"a": 1}
