"""Trace context: one id for a caller's request and everything that follows from it (W3C Trace Context).

A request brings it as `traceparent`, a process as the variable TRACEPARENT; log lines, events and requests of our own
carry it on.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"
VARIABLE = "TRACEPARENT"  # of a process: opentelemetry.io/docs/specs/otel/context/env-carriers
TAG = "trace:"  # of a flow run, before the id of the trace that asked for it
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_NO_TRACE = b"0" * 32
_current: ContextVar[str] = ContextVar("trace_id", default="")


def read_traceparent(value: bytes) -> str | None:
    """Read the trace id of a `traceparent`; None for one that is not well-formed.

    >>> read_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(value)
    return found.group(1).decode() if found and found.group(1) != _NO_TRACE else None


def is_trace_id(text: str) -> bool:
    """Whether it is a trace id, as W3C Trace Context has them."""
    return bool(_TRACE_ID.fullmatch(text))


def new_trace_id() -> str:
    """Begin a trace: 16 random bytes in hexadecimal."""
    return secrets.token_hex(16)


def current_trace_id() -> str | None:
    """The trace that this code runs in: that of the request, else that of the process, else none."""
    return _current.get() or read_traceparent(os.environ.get(VARIABLE, "").encode(errors="replace"))


def enter_trace(trace_id: str) -> None:
    """Let the rest of this task or thread, and the tasks that it starts, run in the trace."""
    _current.set(trace_id)


@contextmanager
def traced(trace_id: str) -> Iterator[str]:
    """Run a block in the trace, and then in the one before."""
    token = _current.set(trace_id)
    try:
        yield trace_id
    finally:
        _current.reset(token)


def traceparent() -> str | None:
    """Write the header or variable that hands the current trace on, with a span of its own; None outside of a trace."""
    trace_id = current_trace_id()
    return f"00-{trace_id}-{secrets.token_hex(8)}-01" if trace_id else None
