"""Logs of a flow run: in the trace of who asked for it, in the form of every process, without secrets on its page."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from slipway import ecs_logging
from slipway.settings import settings
from slipway.trace_context import TAG, current_trace_id, is_trace_id, new_trace_id, traced

_OWN_PROCESS = "PREFECT__FLOW_RUN_ID"  # set by a runner or a worker for the process that it starts
_SENT_TO_SERVER = ("prefect.flow_runs", "prefect.task_runs")


@contextmanager
def flow_run_logs(process: str) -> Iterator[None]:
    """Run a flow's code in the trace that its tag names, else in the caller's, else in one of its own.

    Where a runner started this process, its log is ours to configure; else it is that of a command, for a person.
    """
    if os.environ.get(_OWN_PROCESS):
        ecs_logging.start(process)
    _redact_what_is_sent()
    with traced(_requested_trace() or current_trace_id() or new_trace_id()) as trace_id, errors_redacted():
        get_run_logger().info("trace.id %s", trace_id)
        yield


@contextmanager
def errors_redacted() -> Iterator[None]:
    """Redact what an error says that leaves the block: Prefect shows it as the state of the flow or task run."""
    try:
        yield
    except Exception as error:
        redaction = _redaction()
        error.args = tuple(redaction(part) if isinstance(part, str) else part for part in error.args)
        raise


def _requested_trace() -> str | None:
    named = (tag.removeprefix(TAG) for tag in flow_run.tags or () if tag.startswith(TAG))
    return next(filter(is_trace_id, named), None)


def _redact_what_is_sent() -> None:
    """Redact what Prefect's handlers send; once per process, since loggers keep their handlers."""
    redaction = _redaction()
    for name in _SENT_TO_SERVER:
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(each, ecs_logging.RedactingFilter) for each in handler.filters):
                handler.addFilter(ecs_logging.RedactingFilter(redaction))


def _redaction() -> ecs_logging.Redaction:
    return ecs_logging.Redaction.of(settings(), os.environ)
