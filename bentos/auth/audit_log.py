"""Audit log of refused requests: who was refused what and why, as JSON lines in Elastic Common Schema, no secrets."""

from __future__ import annotations

import logging
import sys

import msgspec

from bentos.auth.principal import Principal
from bentos.request import RequestContext, Scope
from slipway.timestamps import now_iso

_MAX_CHARACTERS = 200  # of each value that an unknown client chooses
_log = logging.getLogger("slipway.audit")
_encode = msgspec.json.Encoder().encode


def configure_logging() -> None:
    """Write bare lines to standard error, unless this logger has a handler already."""
    _log.setLevel(logging.INFO)
    if not _log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(handler)
        _log.propagate = False


def log_refusal(
    context: RequestContext, scope: Scope, environment: str, status: int, reason: str, principal: Principal | None
) -> None:
    """Log a refused request, with its principal if known, and without its query string, which may hold secrets."""
    client = scope.get("client")
    line = {
        "@timestamp": now_iso(),
        "log": {"level": "warning", "logger": "slipway.audit"},
        "message": reason,
        "event": {"kind": "event", "category": ["authentication"], "type": ["denied"], "outcome": "failure"},
        "http": {
            "request": {"id": context.request_id, "method": scope["method"][:_MAX_CHARACTERS]},
            "response": {"status_code": status},
        },
        "url": {"path": scope["path"][:_MAX_CHARACTERS]},
        "source": {"ip": client[0]} if client else {},
        "user": {"name": principal.name} if principal else {},
        "trace": {"id": context.trace_id},
        "service": {"name": "slipway", "environment": environment},
        "slipway": {"caller": principal.mask} if principal else {},
    }
    _log.warning("%s", _encode(line).decode())
