"""A record is one line of JSON in Elastic Common Schema, whatever the record holds."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from slipway.ecs_logging.formatter import EcsFormatter, TextFormatter
from slipway.ecs_logging.redaction import Redaction
from slipway.trace_context import traced

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "planted-secret-0123456789"


def record(message: object, *args: object, **more: Any) -> logging.LogRecord:
    error = more.pop("exc_info", None)
    made = logging.LogRecord("slipway.serving", logging.WARNING, "file.py", 7, message, args, error)
    made.__dict__.update(more)
    return made


def written(made: logging.LogRecord) -> dict[str, Any]:
    line = EcsFormatter("service", "production", Redaction([SECRET])).format(made)
    assert "\n" not in line
    return json.loads(line)


def test_a_line_says_what_when_who_and_where() -> None:
    found = written(record("%d of %d", 1, 2))
    assert (found["message"], found["log.level"], found["log"]["logger"]) == ("1 of 2", "warning", "slipway.serving")
    assert found["service"] == {"name": "slipway", "environment": "production"}
    assert (found["process"]["name"], found["event"]["dataset"]) == ("service", "slipway.service")
    assert found["@timestamp"].endswith("Z") and found["event"]["id"]
    assert "trace" not in found


def test_a_line_is_in_the_trace_of_its_code_unless_it_names_another() -> None:
    with traced(ID):
        assert written(record("x"))["trace"] == {"id": ID}
        assert written(record("x", **{"trace.id": "f" * 32}))["trace"] == {"id": "f" * 32}
        assert written(record("x", trace={"id": "f" * 32}))["trace"] == {"id": "f" * 32}


def test_two_handlers_write_the_same_event() -> None:
    made = record("x")
    assert written(made)["event"]["id"] == written(made)["event"]["id"]


def test_fields_of_ours_become_fields_and_attributes_of_libraries_do_not() -> None:
    found = written(
        record("x", http={"response": {"status_code": 401}}, color_message="\x1b[31mx", request_id=0, log="theirs")
    )
    assert found["http"] == {"response": {"status_code": 401}}
    assert not {"color_message", "request_id"} & found.keys()
    assert found["log"]["logger"] == "slipway.serving"


def test_a_flow_run_is_named() -> None:
    found = written(record("x", flow_run_id="r", task_run_name="split-0"))
    assert found["slipway"] == {"flow_run": "r", "step": "split-0"}


def test_an_exception_has_type_message_and_stack_without_secrets() -> None:
    try:
        raise OSError(f"no {SECRET}")
    except OSError as error:
        found = written(record("it failed", exc_info=(type(error), error, error.__traceback__)))
    assert (found["error"]["type"], found["error"]["message"]) == ("OSError", "no [hidden]")
    assert "test_formatter.py" in found["error"]["stack_trace"]
    assert SECRET not in json.dumps(found)


@pytest.mark.parametrize(
    "message", ["a\nb\u2028c", "\0", "\ud800", '"\\', "x" * 1_000_000, {"a": 1}, OSError("x"), "%s of %s"]
)
def test_whatever_is_logged_is_one_line_of_bounded_size(message: object) -> None:
    found = written(record(message))
    assert len(found["message"]) < 33_000


def test_a_person_reads_a_line_with_its_trace() -> None:
    formatter = TextFormatter("watch", Redaction([SECRET]))
    with traced(ID):
        assert formatter.format(record("no %s", SECRET)).endswith(f"WARNING watch: no [hidden] (trace {ID})")
        assert formatter.format(record("trace.id %s", ID)).endswith(f"watch: trace.id {ID}"), "once"
        assert formatter.format(record("x", task_run_name="split-0")).endswith(f"watch: split-0: x (trace {ID})")
    assert formatter.format(record("x")).endswith("WARNING watch: x")
