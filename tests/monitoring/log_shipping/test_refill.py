"""Elasticsearch is filled again from Parquet, and what it lacks is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from monitoring.log_shipping import delivery, event_lines, refill
from monitoring.log_shipping.event_lines import parse
from monitoring.log_shipping.refill import replay
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from tests.support.doubles import elasticsearch_double as doubles
from tests.support.doubles.elasticsearch_double import ElasticsearchDouble
from tests.support.prediction_log.sample_events import USECASE, label, prediction

STREAM = "logs-slipway.prediction-local"
SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def server() -> ElasticsearchDouble:
    return ElasticsearchDouble()


def without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def test_a_replayed_event_is_the_one_that_was_shipped(config, write, server):
    lines = [
        prediction("a", probabilities={"good": 0.75, "bad": 0.25}, caller="c" * 16, key="k", test=True),
        prediction("b", 60, role="shadow", answered=False, warnings=[{"feature": "age", "reason": "range"}]),
    ]
    write(*lines)
    write(given := label(5, 4, row="a", label="bad"), stream="feedback")
    Shipper(config, [ParquetSink(config)]).ship()
    said: list[str] = []
    done = replay(config, server.client(), SINCE, UNTIL, said.append)
    assert (done.documents, done.refused) == (3, 0)
    for stream, sent in ((STREAM, lines), ("logs-slipway.feedback-local", [given])):
        [index] = server.streams[stream]
        assert len(index) == len(sent)
        for line in sent:
            id, original = parse(line)
            found, expected = json.loads(index[id]), without_nulls(json.loads(original))
            for event in (found, expected):
                for holder, name in ((event, "@timestamp"), (event["slipway"], "known_at")):
                    if name in holder:
                        holder[name] = datetime.fromisoformat(holder[name])
            assert found == expected
    assert said == [
        f"{USECASE}: 2 prediction events from 2026-03-01T00:00:00Z on",
        f"{USECASE}: 1 feedback events from 2026-03-01T00:00:00Z on",
    ]


def test_a_replay_sends_what_lacks_in_its_time_and_nothing_twice(config, write, server, monkeypatch):
    monkeypatch.setattr(event_lines, "MOST_DOCUMENTS", 2)
    rows = {f"r{number}": number * 3600 for number in range(30)}
    write(*(prediction(row, seconds) for row, seconds in rows.items()))
    Shipper(config, [ParquetSink(config)]).ship()
    server.store(STREAM, [parse(prediction(row, rows[row])) for row in ("r0", "r5")])
    server.roll_over()
    for _ in range(2):
        replay(config, server.client(), SINCE, UNTIL, lambda line: None)
        assert server.ids(STREAM) == {f"r{number}:champion:1": 1 for number in range(24)}
    assert sum(map(len, server.bulks)) == 22
    replay(config, server.client(), SINCE, datetime(2026, 3, 3, tzinfo=UTC), lambda line: None)
    assert len(server.ids(STREAM)) == 30


def test_ids_of_an_hour_are_asked_for_only_where_the_stream_has_some_of_it(config, write, server, monkeypatch):
    monkeypatch.setattr(event_lines, "MOST_DOCUMENTS", 2)
    lines = [prediction(f"r{number}", number * 600) for number in range(12)]
    write(*lines)
    Shipper(config, [ParquetSink(config)]).ship()
    server.store(STREAM, [parse(lines[7])])
    replay(config, server.client(), SINCE, UNTIL, lambda line: None)
    assert server.ids(STREAM) == {f"r{number}:champion:1": 1 for number in range(12)}
    assert {id for asked in server.questions for id in asked} == {f"r{number}:champion:1" for number in range(6, 12)}


def test_of_an_hour_without_events_nothing_is_asked(config, write, server):
    write(prediction("a"), prediction("b", 5 * 3600))
    Shipper(config, [ParquetSink(config)]).ship()
    requests: list[str] = []
    server.on_request = requests.append
    replay(config, server.client(), SINCE, UNTIL, lambda line: None)
    assert set(server.ids(STREAM)) == {"a:champion:1", "b:champion:1"}
    # For each of the two hours: at most seven, of which one is the bulk
    assert requests.count("before") <= 2 * 7


def test_a_stream_that_rolls_over_while_another_writes_has_no_event_twice(config, write, server, monkeypatch):
    monkeypatch.setattr(event_lines, "MOST_DOCUMENTS", 1)
    monkeypatch.setattr(refill, "AT_ONCE", 1)
    lines = [prediction(f"r{number}", number * 600) for number in range(5)]
    write(*lines)
    Shipper(config, [ParquetSink(config)]).ship()
    server.store(STREAM, [parse(prediction("other hour", 7200))])

    def another_writes(when: str) -> None:
        if when == "after" and len(server.bulks) == 2 and len(server.streams[STREAM]) == 1:
            server.store(STREAM, [parse(line) for line in lines])
            server.roll_over()

    server.on_request = another_writes
    replay(config, server.client(), SINCE, UNTIL, lambda line: None)
    assert len(server.streams[STREAM]) == 2
    assert set(server.ids(STREAM).values()) == {1}


def test_a_replay_that_ends_early_goes_on_with_the_same_command(config, write, server, cli, monkeypatch):
    monkeypatch.setattr(delivery, "connect", lambda settings, timeout: server.client())
    write(*(prediction(f"r{number}", number * 3600) for number in range(5)))
    Shipper(config, [ParquetSink(config)]).ship()
    server.faults = [doubles.lost_response]
    ran = cli("ship", "--replay", "2026-03-01", "2026-03-02")
    assert ran.code == 1 and "did not respond in time" in ran.err
    ran = cli("ship", "--replay", "2026-03-01", "2026-03-02", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"documents": 5, "refused": 0})
    assert set(server.ids(STREAM).values()) == {1}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--once", "--compare"], "exclude each other"),
        (["2026-03-01"], "ends --replay or --compare"),
        (["--replay", "2026-03-02", "2026-03-01"], "give an earlier FROM"),
        (["--replay", "yesterday"], "give 30m, 24h, 7d"),
        (["--replay", "7d"], "set ELASTICSEARCH_URL"),
        (["--replay-refused"], "set ELASTICSEARCH_URL"),
        (["--compare"], "set ELASTICSEARCH_URL"),
    ],
)
def test_a_wrong_command_says_what_is_allowed(cli, arguments, complaint):
    ran = cli("ship", *arguments)
    assert ran.code != 0
    assert complaint in " ".join(ran.err.replace("│", " ").split())
