"""The shipper and a real Elasticsearch: kills, roll-overs, refusals and a comparison of both sides."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from monitoring.log_shipping.delivery import client_for_delivery
from monitoring.log_shipping.elasticsearch_sink import ElasticsearchSink
from monitoring.log_shipping.refill import replay_refused
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink, Totals
from monitoring.log_shipping.stream_contents import holds_any, write_index
from slipway.clients.elasticsearch import streams
from slipway.prediction_log import Log, Writer, segments
from slipway.settings import Settings
from tests.support.prediction_log.log_fixtures import write_segment
from tests.support.prediction_log.sample_events import USECASE, label, prediction

ROOT = Path(__file__).resolve().parents[3]
KEYWORDS = ("event.id", "slipway.usecase", "slipway.row_id")


@pytest.fixture
def client(elk: Settings) -> Elasticsearch:
    """The client, and the template of this test's streams, with as many fields as the tests need."""
    client = client_for_delivery(elk)
    properties = {"@timestamp": {"type": "date"}, "slipway.score": {"type": "double"}}
    properties |= {name: {"type": "keyword"} for name in KEYWORDS}
    put_template(client, elk, properties)
    return client


@pytest.fixture
def target(elk: Settings) -> str:
    return streams.stream(streams.PREDICTION, elk)


def put_template(client: Elasticsearch, config: Settings, properties: dict[str, dict[str, str]]) -> None:
    client.indices.put_index_template(
        name=f"sink-{config.environment}",
        index_patterns=[f"logs-slipway.*-{config.environment}"],
        data_stream={},
        priority=600,
        template={"mappings": {"dynamic": False, "properties": properties}},
    )


def shipper(config: Settings) -> Shipper:
    totals = Totals()
    return Shipper(config, [ParquetSink(config), ElasticsearchSink(config, totals)], totals)


def ids(client: Elasticsearch, target: str) -> list[str]:
    client.indices.refresh(index=target)
    found = client.search(index=target, size=10_000, source=False)
    return sorted(hit["_id"] for hit in found["hits"]["hits"])


def test_events_are_found_and_a_second_shipper_writes_none_twice_after_a_roll_over(elk, client, target):
    lines = [prediction(f"r{number:03}") for number in range(100)]
    write_segment(elk, *lines)
    assert shipper(elk).ship().failed == []
    client.indices.rollover(alias=target)
    write_segment(elk, *lines[50:], prediction("new"))
    (segment,) = segments(elk.spool, USECASE)
    segment.path.with_name(f"{segment.stem}.elasticsearch").touch()  # as a killed shipper leaves it
    assert shipper(elk).ship().failed == []
    assert ids(client, target) == sorted([f"r{number:03}:champion:1" for number in range(100)] + ["new:champion:1"])


def test_without_a_template_nothing_is_created(elk, target):
    write_segment(elk, prediction("a"))
    [reason] = shipper(elk).ship().failed
    assert "did not reach Elasticsearch: 404" in reason
    assert not client_for_delivery(elk).indices.exists(index=target)
    assert len(segments(elk.spool, USECASE)) == 1


def test_a_document_that_does_not_fit_is_kept_and_taken_when_the_mapping_fits(elk, client, target):
    wrong = json.loads(prediction("wrong"))
    wrong["slipway"]["score"] = "no number"
    write_segment(elk, prediction("a"), json.dumps(wrong).encode() + b"\n", prediction("b"))
    shipping = shipper(elk)
    assert shipping.ship().failed == shipping.ship().failed == []
    assert shipping.totals.refused == {USECASE: 1}
    assert ids(client, target) == ["a:champion:1", "b:champion:1"]
    assert replay_refused(elk, client).refused == 1
    put_template(client, elk, {"@timestamp": {"type": "date"}})
    client.indices.rollover(alias=target)
    assert replay_refused(elk, client).documents == 1
    assert ids(client, target) == ["a:champion:1", "b:champion:1", "wrong:champion:1"]


def test_a_read_only_index_holds_its_events_until_it_takes_them(elk, client, target):
    write_segment(elk, prediction("a"))
    shipping = shipper(elk)
    assert shipping.ship().failed == []
    client.indices.put_settings(index=target, settings={"index.blocks.write": True})
    write_segment(elk, prediction("b"))
    assert "did not reach Elasticsearch: 403" in shipping.ship().failed[0]
    client.indices.put_settings(index=target, settings={"index.blocks.write": None})
    _until(lambda: not shipping.ship().failed)
    assert ids(client, target) == ["a:champion:1", "b:champion:1"]


def test_a_stream_names_the_index_that_it_writes_into_and_what_it_holds_in_all_of_them(elk, client, target):
    at = [datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(minutes=minutes) for minutes in (0, 15, 30, 45)]
    assert write_index(client, target) is None
    assert not holds_any(client, target, USECASE, at[0], at[3])
    write_segment(elk, prediction("a", 10 * 3600 + 15 * 60))
    assert shipper(elk).ship().failed == []
    first = write_index(client, target)
    client.indices.rollover(alias=target)
    second = write_index(client, target)
    assert first and second and first.endswith("-000001") and second.endswith("-000002")
    assert [holds_any(client, target, USECASE, *times) for times in pairwise(at)] == [True, True, False]
    assert not holds_any(client, target, "other", at[0], at[3])


def test_both_sides_are_compared_and_what_lacks_is_named_and_sent(elk, client, target, cli):
    write_segment(elk, *(prediction(f"r{number}", 1800 * number) for number in range(6)))
    write_segment(elk, label(5, 4, row="r1", label="good"), stream="feedback")
    assert shipper(elk).ship().failed == []
    window = ("--since", "2026-03-01", "2026-03-02")
    ran = cli("ship", "--compare", *window)
    assert ran.code == 0, ran.out
    assert "7 events in Parquet" in ran.out and "7 in Elasticsearch" in ran.out
    client.indices.refresh(index=target)
    [hit] = client.search(index=target, query={"ids": {"values": ["r2:champion:1"]}})["hits"]["hits"]
    client.delete(index=hit["_index"], id=hit["_id"], refresh=True)
    ran = cli("ship", "--compare", *window, "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["hours"] == [
        {
            "usecase": USECASE,
            "stream": "prediction",
            "hour": "2026-03-01T01:00:00Z",
            "parquet": 2,
            "elasticsearch": 1,
            "lacking": ["r2:champion:1"],
        }
    ]
    assert cli("ship", "--replay", "2026-03-01", "2026-03-02").code == 0
    assert cli("ship", "--compare", *window).code == 0


@pytest.mark.slow
def test_killed_shippers_and_roll_overs_lose_and_double_nothing(elk, client, target):
    """Events arrive all the time; the shipper is killed at any moment, and the stream rolled over after each kill."""
    rows: list[str] = []
    ended = threading.Event()

    def log() -> None:
        writer = Writer(elk.spool, USECASE, "prediction", segment_bytes=60_000)
        while not ended.is_set() and len(rows) < 9_000:
            some = [f"r{len(rows) + number:05}" for number in range(20)]
            assert writer.write(b"".join(map(prediction, some)))
            rows.extend(some)
            time.sleep(0.1)
        writer.close()

    logging = threading.Thread(target=log)
    logging.start()
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-m", "slipway.cli", "ship"], cwd=ROOT, stderr=subprocess.DEVNULL)
        before = _count(client, target)
        _until(lambda before=before: _count(client, target) > before)
        process.kill()
        process.wait()
        client.indices.rollover(alias=target)
    ended.set()
    logging.join()
    _until(lambda: not shipper(elk).ship().failed and not segments(elk.spool, USECASE))
    expected = [f"{row}:champion:1" for row in rows]
    assert ids(client, target) == expected
    assert sorted(id for (id,) in Log(elk).predictions(USECASE).select('"event.id"').fetchall()) == expected


def _count(client: Elasticsearch, target: str) -> int:
    if not client.indices.exists(index=target):
        return 0
    client.indices.refresh(index=target)
    return client.count(index=target)["count"]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
