"""The ingest pipelines on a real OpenSearch, which shares these processors: what cannot be read stays visible."""

from __future__ import annotations

import json
import urllib.request

import pytest

from monitoring.elk import sources

pytestmark = pytest.mark.timeout(240)  # the first test waits for the server
TIME = "2026-11-29T16:00:00.123Z"


@pytest.fixture
def run(opensearch):
    """`run("service", document)` sends a document through a pipeline, and returns it as it would be indexed."""

    def simulate(pipeline, document):
        body = {"pipeline": sources.read(f"ingest/{pipeline}.yml"), "docs": [{"_source": document}]}
        request = urllib.request.Request(
            f"{opensearch}/_ingest/pipeline/_simulate",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            (found,) = json.load(response)["docs"]
        return found["doc"]["_source"]

    return simulate


def test_an_event_gets_its_time_of_arrival_and_stays_as_it_is(run):
    event = {"@timestamp": TIME, "event": {"id": "a:champion:1"}, "slipway": {"score": 0.25}}
    found = run("events", event)
    assert found["event"].pop("ingested") > TIME[:4]
    assert found == event


def test_a_json_line_becomes_its_fields(run):
    line = {"@timestamp": TIME, "message": "started", "ecs": {"version": "1.6.0"}, "trace": {"id": "t" * 32}}
    found = run("service", {"message": json.dumps(line)})
    assert {name: found[name] for name in line} == line
    assert "kind" not in found["event"]


@pytest.mark.parametrize("line", ['{"message": "cut', '{"a": 1 "b": 2}', '{"a": nothing}', "{"])
def test_a_broken_json_line_stays_visible_with_its_error(run, line):
    found = run("service", {"@timestamp": TIME, "message": line})
    assert found["event"]["kind"] == "pipeline_error"
    assert found["message"] == line
    assert "read JSON" in found["error"]["message"][0]


def test_a_line_without_a_time_gets_that_of_its_arrival(run):
    found = run("service", {"message": "Killed"})
    assert found["message"] == "Killed"
    assert found["@timestamp"] == found["event"]["ingested"]


def test_a_time_that_cannot_be_read_does_not_lose_the_line(run):
    found = run(
        "service", {"message": json.dumps({"@timestamp": "yesterday", "message": "hello", "ecs.version": "1.6.0"})}
    )
    assert found["message"] == "hello"
    assert found["event"]["kind"] == "pipeline_error"
    assert found["@timestamp"] == found["event"]["ingested"]
    assert "yesterday" in found["error"]["message"][0]
