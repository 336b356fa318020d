from __future__ import annotations

import json
import re
from typing import Any

from slipway import ids as ids_module
from slipway import timestamps
from slipway.contracts.events import encoder, feedback_event, prediction_event


def _context(**changes: Any) -> encoder.EventEncoder:
    fixed = {
        "environment": "local",
        "usecase": "loans",
        "version": "3",
        "bundle_sha256": "ab",
        "role": "champion",
        "answered": True,
        "timestamp": timestamps.now_iso(),
        "model_ms": 0.2,
    }
    return encoder.EventEncoder(**(fixed | changes))


REQUEST = prediction_event.EventRequest("t", "r", 5)


def _columns(event: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted names down to where the columns of the log end."""
    found = set()
    for name, value in event.items():
        path = prefix + name
        known = path in prediction_event.PREDICTION_COLUMNS or path in feedback_event.FEEDBACK_COLUMNS
        found |= {path} if known or not isinstance(value, dict) else _columns(value, path + ".")
    return found


def test_a_prediction_is_one_line_with_every_column_of_the_contract() -> None:
    context = _context(outcome="failure", error_type="timeout")
    answer = {"label": "bad", "score": 0.7, "probabilities": {"bad": 0.7}, "value": 1.0}
    request = prediction_event.EventRequest("t", "r", 5, "c", True)
    line = context.encode_row(request, "x-0", {"age": 1}, row_key="ab", split_bucket=7, key="mine", answer=answer)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert _columns(json.loads(line)) == set(prediction_event.PREDICTION_COLUMNS)


def test_what_there_is_nothing_of_is_absent() -> None:
    event = json.loads(_context().encode_row(REQUEST, "x-0", {"age": None}))
    assert set(prediction_event.PREDICTION_COLUMNS) - _columns(event) == {
        "error.type",
        *(f"slipway.{name}" for name in ("row_key", "split_bucket", "key", "caller", "test")),
        *(f"slipway.{name}" for name in ("label", "value", "score", "probabilities")),
    }


def test_a_line_break_in_a_value_does_not_break_the_line() -> None:
    line = _context().encode_row(REQUEST, "x-0", {"city": "a\nb\u2028c"}, key="k\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["slipway"]["features"]["city"] == "a\nb\u2028c"


def test_names_with_signs_that_formats_know_stay_as_they_are() -> None:
    event = json.loads(
        _context(environment="50%d", version="%b", error_type="%s").encode_row(REQUEST, "x-0", {"%": "%s"})
    )
    assert (event["service"]["environment"], event["slipway"]["model_version"]) == ("50%d", "%b")
    assert (event["error"]["type"], event["slipway"]["features"]) == ("%s", {"%": "%s"})
    assert event["event"]["id"] == "x-0:champion:%b"


def test_the_same_row_has_an_event_of_its_own_for_each_role_and_version() -> None:
    ids = {
        json.loads(_context(role=role, version=v).encode_row(REQUEST, "x-0", {}))["event"]["id"]
        for role in "ab"
        for v in "12"
    }
    assert len(ids) == 4
    assert json.loads(_context().encode_row(REQUEST, "x-0", {}))["event"]["id"] == "x-0:champion:3"


def test_feedback_has_every_column_and_a_fresh_id() -> None:
    fields = {"environment": "local", "usecase": "loans", "trace_id": "t", "timestamp": "2026-01-01T00:00:00Z"}
    made = [
        feedback_event.feedback_line(**fields, known_at=fields["timestamp"], row="x-0", label="bad") for _ in range(2)
    ]
    assert made[0][0] != made[1][0]
    assert _columns(json.loads(made[0][1])) == set(feedback_event.FEEDBACK_COLUMNS)


def test_uuids_are_of_version_7_distinct_and_rise_with_time() -> None:
    many = [ids_module.uuid7() for _ in range(1000)]
    assert len(set(many)) == 1000
    shape = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(shape.fullmatch(one) for one in many)
    assert [one[:13] for one in many] == sorted(one[:13] for one in many)
