"""The story of one prediction, of a service that is a double, a shipper in this process, and a real Elasticsearch."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring.elk.setup import apply, plan
from monitoring.log_shipping.shipper import Shipper, configured_sinks
from monitoring.log_shipping.sinks import Totals
from scenarios.observability import kibana_panels
from scenarios.observability.prediction_story import PredictionStory
from slipway.clients.elasticsearch.connection import connect
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.feedback_event import feedback_line
from slipway.contracts.events.prediction_event import EventRequest
from slipway.ecs_logging.spool_handler import FOLDER, STREAM
from slipway.ids import row_id, uuid7
from slipway.prediction_log import Writer
from slipway.settings import Settings
from slipway.timestamps import iso
from slipway.trace_context import read_traceparent
from tests.support.doubles.http_double import Answer, HttpDouble, Refused

USECASE = "credit_risk"
ROW = {"age": 40, "purpose": "car"}
REFUSAL = "the key is unknown."


class ServiceDouble(HttpDouble):
    """A service that responds with `good`, and logs it; it knows no key, and forgets labels where it `loses_labels`."""

    def __init__(self, config: Settings, loses_labels: bool = False) -> None:
        super().__init__()
        self._config = config
        self._loses_labels = loses_labels

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        trace, document = read_traceparent(self.request_headers["traceparent"].encode()) or "", json.loads(body)
        if "Authorization" in self.request_headers:
            raise self._unknown_key(trace)
        if path.endswith("/feedback"):
            return self._take_labels(trace, document["feedback"])
        [row] = document["instances"]
        request = uuid7()
        encoder = EventEncoder(
            environment=self._config.environment,
            usecase=USECASE,
            version="3",
            bundle_sha256="b" * 64,
            role="champion",
            answered=True,
            timestamp=_now(),
            model_ms=0.5,
        )
        event = EventRequest(trace, request, 2_000_000)
        answer = {"label": "good", "score": 0.25}
        line = encoder.encode_row(event, row_id(request, 0), row, key=document["keys"][0], answer=answer)
        self._log("prediction", line)
        return {"predictions": [{"id": row_id(request, 0), **answer}]}

    def _take_labels(self, trace: str, labels: list[dict[str, Any]]) -> Answer:
        about = {"environment": self._config.environment, "usecase": USECASE, "trace_id": trace}
        for label in [] if self._loses_labels else labels:
            sent = {"timestamp": _now(), "known_at": _now(), "row": label["id"], "label": label["label"]}
            self._log("feedback", feedback_line(**about, **sent)[1])
        return {"accepted": len(labels)}

    def _unknown_key(self, trace: str) -> Refused:
        event = {"id": uuid7(), "dataset": "slipway.service"}
        line = {"@timestamp": _now(), "message": REFUSAL, "event": event, "trace": {"id": trace}}
        self._log(STREAM, json.dumps(line).encode() + b"\n", FOLDER)
        found = Refused(401, "", REFUSAL)
        found.content = {"title": "Unauthorized", "detail": REFUSAL, "trace_id": trace}
        return found

    def _log(self, stream: str, line: bytes, folder: str = USECASE) -> None:
        writer = Writer(self._config.spool, folder, stream)
        assert writer.write(line)
        writer.close()


@pytest.fixture
def shipping(elk: Settings) -> Iterator[None]:
    """Set the streams up, and ship all the time."""
    client = connect(elk)
    apply(client, elk, plan(client, elk), lambda _: None)
    totals, ended = Totals(), threading.Event()
    shipper = Shipper(elk, configured_sinks(elk, totals), totals)

    def ship() -> None:
        while not ended.wait(0.1):
            shipper.ship()

    thread = threading.Thread(target=ship)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_a_prediction_is_followed_to_kibana_under_the_trace_of_its_caller(elk: Settings, shipping: None) -> None:
    began = datetime.now(UTC)
    with ServiceDouble(elk) as service:
        story = PredictionStory(USECASE, service.uri, ROW, "bad")
        steps = story.tell()
    assert [step.held for step in steps] == [True] * 6, steps
    assert f"trace `{story.trace}`" in steps[0].what
    assert "version 3 responded `good`" in steps[3].observed and "its label is `bad`" in steps[3].observed
    assert story.key in steps[4].what
    assert steps[3].observed.endswith(f"; logged: {REFUSAL}") and "logged" not in steps[4].observed
    streams = [f"`logs-slipway.{kind}-{elk.environment}`" for kind in ("feedback", "prediction")]
    assert steps[5].observed == f"2 documents of {', '.join(streams)}"
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
    end = datetime.now(UTC) + timedelta(seconds=1)
    searched = {one.panel: one for one in kibana_panels.search(USECASE, began.timestamp(), end.timestamp())}
    assert searched["Responses"].documents == 1
    assert kibana_panels.empty([searched["Responses"]]) == []


def test_a_step_that_does_not_hold_is_the_last(elk: Settings, shipping: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.observability.prediction_story.SHIPPED_SECONDS", 1.0)
    with ServiceDouble(elk, loses_labels=True) as service:
        steps = PredictionStory(USECASE, service.uri, ROW, "bad").tell()
    assert [step.held for step in steps] == [True, True, True, False]
    assert steps[-1].observed == "not found with its label and log line within 1 s"


def _now() -> str:
    return iso(datetime.now(UTC), "microseconds")
