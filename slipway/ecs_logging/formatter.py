"""Formatters of log records: a line of JSON in Elastic Common Schema, or a line of text for a person.

A record that is about a request, or about something with fields of its own, has them in `extra`, by groups of ECS:

    _log.warning("the key is unknown", extra={"http": {"response": {"status_code": 401}}, "trace.id": trace_id})
"""

from __future__ import annotations

import logging
from typing import Any

import ecs_logging

from slipway.ecs_logging.redaction import Redaction
from slipway.ids import uuid7
from slipway.trace_context import current_trace_id

# What `extra` may have: libraries put attributes of their own there, whose names would become fields.
GROUPS = ("error", "event", "http", "slipway", "source", "trace", "url", "user")
PREFECT = {"flow_run_id": "slipway.flow_run", "task_run_name": "slipway.step"}  # of Prefect's own records
_EVENT_ID, _TRACE_ID = "event.id", "trace.id"
_RECORD = frozenset(vars(logging.makeLogRecord({})))
_LEFT_OUT = ("log.original", "process.thread.id")
_LINE = "ecs.line"


class EcsFormatter(ecs_logging.StdlibFormatter):
    """Writes a record as one line of JSON.

    The record keeps its line: `event.id` is the same wherever it is written, so that a line shipped twice counts once.
    """

    def __init__(self, process: str, environment: str, redaction: Redaction) -> None:
        service = {"service.name": "slipway", "service.environment": environment}
        super().__init__(extra={**service, "event.dataset": "slipway.service"}, exclude_fields=_LEFT_OUT)
        self._process = process
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        attributes = vars(record)
        if _LINE not in attributes:
            attributes[_LINE] = super().format(record)
        line: str = attributes[_LINE]
        return line

    def format_to_ecs(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = super().format_to_ecs(_with_ids(record))
        fields["process"]["name"] = self._process
        found: dict[str, Any] = self._redaction.fields(fields)
        return found


class TextFormatter(logging.Formatter):
    """Writes a record for a person, with the step of a flow run and the trace that it belongs to, if any."""

    def __init__(self, process: str, redaction: Redaction) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {process}: ")
        self._redaction = redaction

    def formatMessage(self, record: logging.LogRecord) -> str:
        step, trace_id = getattr(record, "task_run_name", None), _trace_id(record)
        text = super().formatMessage(record) + (f"{step}: " if step else "") + record.message
        return f"{text} (trace {trace_id})" if trace_id and trace_id not in text else text

    def format(self, record: logging.LogRecord) -> str:
        return self._redaction(super().format(record))


def _with_ids(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record without what libraries added to it, and with the ids of its event and its trace."""
    attributes = vars(record)
    own = {name: value for name, value in attributes.items() if name in _RECORD or _is_group(name, value)}
    own.pop("trace", None)
    ids = {_EVENT_ID: uuid7(), _TRACE_ID: _trace_id(record)}
    of_prefect = {field: str(attributes[name]) for name, field in PREFECT.items() if attributes.get(name)}
    return logging.makeLogRecord(own | ids | of_prefect)


def _is_group(name: str, value: object) -> bool:
    return name in GROUPS and isinstance(value, dict)


def _trace_id(record: logging.LogRecord) -> str | None:
    """The trace that the record names, else the one in which it was made."""
    named = getattr(record, _TRACE_ID, None) or getattr(record, "trace", None)
    if isinstance(named, dict):
        named = named.get("id")
    return named or current_trace_id()
