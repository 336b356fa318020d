"""The audit line: who was refused what, and why, as one line of JSON in Elastic Common Schema; never a secret."""

from __future__ import annotations

import logging
import sys

import msgspec

from bentos.request import RequestContext, Scope
from slipway.timestamps import now_iso

_MOST = 200  # characters of what a stranger may choose
_log = logging.getLogger("slipway.audit")
_encode = msgspec.json.Encoder().encode


def set_up() -> None:
    """Lines as they are, on standard error, unless somebody configured this logger."""
    _log.setLevel(logging.INFO)
    if not _log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(handler)
        _log.propagate = False


def refused(
    head: RequestContext, scope: Scope, environment: str, status: int, reason: str, name: str | None, mask: str | None
) -> None:
    """`name` and `mask` are the caller's, where it is known. Query strings are left out: some hold secrets."""
    client = scope.get("client")
    line = {
        "@timestamp": now_iso(),
        "log": {"level": "warning", "logger": "slipway.audit"},
        "message": reason,
        "event": {"kind": "event", "category": ["authentication"], "type": ["denied"], "outcome": "failure"},
        "http": {
            "request": {"id": head.request_id, "method": scope["method"][:_MOST]},
            "response": {"status_code": status},
        },
        "url": {"path": scope["path"][:_MOST]},
        "source": {"ip": client[0]} if client else {},
        "user": {"name": name} if name else {},
        "trace": {"id": head.trace_id},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {"caller": mask} if mask else {},
    }
    _log.warning("%s", _encode(line).decode())
