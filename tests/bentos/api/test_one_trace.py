"""One trace id from the caller's `traceparent` through response, events, feedback and log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from slipway.ecs_logging import Redaction
from slipway.ecs_logging.formatter import EcsFormatter
from tests.bentos.auth.credentials import ROW
from tests.bentos.conftest import Client

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{ID}-00f067aa0ba902b7-01"}
PREDICT = "/v1/models/loans/predict"


@pytest.fixture
def log_lines() -> Iterator[list[dict]]:
    """What the service logs, as the real process writes it."""
    found: list[dict] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    handler = Kept()
    handler.setFormatter(EcsFormatter("service", "local", Redaction([])))
    logging.getLogger("slipway").addHandler(handler)
    yield found
    logging.getLogger("slipway").removeHandler(handler)


def test_a_prediction_and_its_label_are_in_the_callers_trace(start_client) -> None:
    client: Client = start_client()
    answer = client.post(PREDICT, {"instances": [ROW]}, **HEADERS)
    assert answer.headers["x-trace-id"] == ID
    [event] = client.events()
    assert event["trace"]["id"] == ID
    row = answer.json["predictions"][0]["id"]
    sent = client.post("/v1/models/loans/feedback", {"feedback": [{"id": row, "label": "bad"}]}, **HEADERS)
    assert sent.headers["x-trace-id"] == ID
    [feedback] = client.events(stream="feedback")
    assert feedback["trace"]["id"] == ID


def test_an_error_its_event_and_its_log_line_are_in_the_callers_trace(
    start_client, monkeypatch: pytest.MonkeyPatch, log_lines: list[dict]
) -> None:
    client: Client = start_client()
    monkeypatch.setattr(client.worker.served["loans"].live.predictor, "run", lambda feeds: 1 / 0)
    answer = client.post(PREDICT, {"instances": [ROW]}, **HEADERS)
    assert (answer.status, answer.json["trace_id"], answer.headers["x-trace-id"]) == (500, ID, ID)
    [event] = client.events()
    assert (event["trace"]["id"], event["event"]["outcome"]) == (ID, "failure")
    [line] = [line for line in log_lines if line["log.level"] == "error"]
    assert line["trace"]["id"] == ID
    assert line["error"]["stack_trace"]


def test_a_refusal_is_in_the_callers_trace(start_client, key, log_lines: list[dict]) -> None:
    key("ci", "predict")
    answer = start_client().post(PREDICT, {"instances": [ROW]}, **HEADERS)
    assert (answer.status, answer.headers["x-trace-id"]) == (401, ID)
    [line] = [line for line in log_lines if line["log"]["logger"] == "slipway.audit"]
    assert line["trace"]["id"] == ID
    request = {"id": answer.headers["x-request-id"], "method": "POST"}
    assert line["http"] == {"request": request, "response": {"status_code": 401}}
    assert (line["event"]["outcome"], line["url"]["path"]) == ("failure", PREDICT)


def test_without_a_traceparent_the_server_begins_a_trace_and_says_which(start_client) -> None:
    client: Client = start_client()
    answers = [client.post(PREDICT, {"instances": [ROW]}) for _ in range(2)]
    ids = [event["trace"]["id"] for event in client.events()]
    assert [answer.headers["x-trace-id"] for answer in answers] == ids
    assert len(set(ids)) == 2
