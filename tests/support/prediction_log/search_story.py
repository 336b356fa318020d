"""A made-up afternoon of one use case, with something for each search to find, in the log and in Elasticsearch.

At a known time version 2 replaces version 1, more people ask for a new car, and one caller's rows begin to fail. The
responses to people who live for free are wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.elk.setup import apply, plan
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import AUDIT, FEEDBACK, PREDICTION, SERVICE, stream
from slipway.contracts.events.encoder import EventEncoder
from slipway.contracts.events.feedback_event import feedback_line
from slipway.contracts.events.prediction_event import EventRequest
from slipway.ids import row_id, uuid7
from slipway.settings import Settings
from slipway.timestamps import iso
from tests.support.prediction_log.log_fixtures import write_segment

USECASE = "credit_risk"
ROWS = 240  # half of them before, half after
SOUND, FAILING = "a" * 32, "b" * 32  # callers
HOUSING = ("own", "own", "rent", "for free")


@dataclass(frozen=True)
class Story:
    """The lines of each stream, when things changed, and the first row: its id, trace and key."""

    at: datetime
    predictions: list[bytes]
    feedback: list[bytes]
    log_lines: list[dict[str, Any]]
    audit_lines: list[dict[str, Any]]
    id: str
    trace: str
    request: str
    key: str


def tell(environment: str) -> Story:
    """Make the events of two hours that ended an hour ago."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    requests = [uuid7() for _ in range(ROWS)]
    predictions = [_prediction(environment, at, number, request) for number, request in enumerate(requests)]
    feedback = [
        _label(environment, at, number, request) for number, request in enumerate(requests) if not _fails(number)
    ]
    lines = [*(_log_line(environment, at, number) for number in range(0, ROWS, 10)), _verdict(environment, at)]
    actions = [_action(environment, at, action) for action in ("promoted", "canary.began", "canary.finished")]
    return Story(at, predictions, feedback, lines, actions, row_id(requests[0], 0), _trace(0), requests[0], "loan-0")


def write(story: Story, config: Settings) -> None:
    """Write the events into the spool, as servers do."""
    for name, lines in (("prediction", story.predictions), ("feedback", story.feedback)):
        write_segment(config, *lines, usecase=USECASE, stream=name)


def index(story: Story, config: Settings) -> None:
    """Index the events in the streams that `slipway elk setup` prepares."""
    from elasticsearch import helpers

    client = connect(config)
    apply(client, config, plan(client, config), lambda _: None)
    streams = {
        PREDICTION: [json.loads(line) for line in story.predictions],
        FEEDBACK: [json.loads(line) for line in story.feedback],
        SERVICE: story.log_lines,
        AUDIT: story.audit_lines,
    }
    actions = [
        {
            "_op_type": "create",
            "_index": stream(dataset, config),
            "_id": document["event"]["id"],
            "_source": document,
        }
        for dataset, documents in streams.items()
        for document in documents
    ]
    helpers.bulk(client, actions, refresh=True)


def _moment(at: datetime, number: int) -> str:
    return iso(at + timedelta(seconds=(number - ROWS // 2) * 29), "microseconds")


def _trace(number: int) -> str:
    return f"{number:032x}"


def _is_after(number: int) -> bool:
    return number >= ROWS // 2


def _fails(number: int) -> bool:
    return _is_after(number) and number % 3 == 0


def _prediction(environment: str, at: datetime, number: int, request: str) -> bytes:
    failed = {"outcome": "failure", "error_type": "ModelFailed"} if _fails(number) else {}
    encoder = EventEncoder(
        environment=environment,
        usecase=USECASE,
        version="2" if _is_after(number) else "1",
        bundle_sha256="b" * 64,
        role="champion",
        answered=not _fails(number),
        timestamp=_moment(at, number),
        model_ms=0.5,
        **failed,
    )
    caller = FAILING if number % 3 == 0 else SOUND
    purpose = "new car" if number % 10 < (8 if _is_after(number) else 2) else "repairs"
    features = {"purpose": purpose, "housing": HOUSING[number % 4], "amount": 1000 + number}
    answer = None if _fails(number) else {"label": "good", "score": 0.75}
    about = EventRequest(_trace(number), request, 2_000_000, caller)
    warnings = [{"feature": "amount", "reason": "out of range"}] if number == 0 else []
    key = f"loan-{number}"
    return encoder.encode_row(about, row_id(request, 0), features, key=key, answer=answer, warnings=warnings)


def _label(environment: str, at: datetime, number: int, request: str) -> bytes:
    """Half of the labels name their row by its id, the others by the caller's key."""
    named = {"row": row_id(request, 0)} if number % 2 == 0 else {"key": f"loan-{number}"}
    sent = iso(at + timedelta(minutes=90), "microseconds")
    return feedback_line(
        environment=environment,
        usecase=USECASE,
        trace_id=_trace(number),
        timestamp=sent,
        known_at=sent,
        label="bad" if HOUSING[number % 4] == "for free" else "good",
        caller=FAILING if number % 3 == 0 else SOUND,
        **named,
    )[1]


def _log_line(environment: str, at: datetime, number: int) -> dict[str, Any]:
    level = ("info", "warning", "error")[number // 10 % 3]
    path = {"path": f"/v1/models/{USECASE}/predict"}
    rejected = {"http": {"response": {"status_code": 422}}, "url": path} if level == "warning" else {}
    return {
        "@timestamp": _moment(at, number),
        "event": {"id": uuid7()},
        "log": {"level": level, "logger": "bentos.inference"},
        "message": f"a line of level {level}",
        "process": {"name": "worker" if number % 20 else "watch"},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {"usecase": USECASE, "caller": SOUND},
        "trace": {"id": _trace(number)},
        **rejected,
    }


def _verdict(environment: str, at: datetime) -> dict[str, Any]:
    return {
        "@timestamp": iso(at, "microseconds"),
        "event": {"id": uuid7(), "kind": "event", "action": "verdict.drift"},
        "log": {"level": "info", "logger": "slipway.monitor"},
        "message": "credit_risk: 1 of 20 features drifted",
        "process": {"name": "monitor"},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {"usecase": USECASE, "model_version": "2"},
    }


def _action(environment: str, at: datetime, action: str) -> dict[str, Any]:
    return {
        "@timestamp": iso(at, "microseconds"),
        "event": {"id": uuid7(), "action": action, "reason": "it is better"},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {"usecase": USECASE, "model_version": "2"},
        "user": {"name": "ann@laptop"},
    }
