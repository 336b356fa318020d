"""Audit log of refused requests: who was refused what and why, with the fields of Elastic Common Schema, no secrets.

A refusal costs its sender nothing, so a flood of them must not fill a disk: of equal ones (status and client) only the
first in a time have a line of their own, and the rest are summed in one.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from bentos.auth.principal import Principal
from bentos.request import RequestContext, Scope

MOST_LINES = 50  # in WINDOW_SECONDS, of one status for one client, all unknown clients together
WINDOW_SECONDS = 10.0
_MAX_CHARACTERS = 200  # of each value that an unknown client chooses
_EVENT = {"kind": "event", "category": ["authentication"], "type": ["denied"], "outcome": "failure"}
_log = logging.getLogger("slipway.audit")


class _Window(msgspec.Struct):
    """The refusals of one status for one client since the window began: with lines of their own, and without."""

    ends: float
    status: int
    principal: Principal | None
    lines: int = 0
    more: int = 0


class AuditLog:
    """The refusals of a worker."""

    def __init__(self) -> None:
        self._windows: dict[tuple[int, str], _Window] = {}

    def log_refusal(
        self, context: RequestContext, scope: Scope, status: int, reason: str, principal: Principal | None
    ) -> None:
        """Log a refused request, with its principal if known, and without its query string, which may hold secrets."""
        if not self._has_own_line(status, principal):
            return
        client = scope.get("client")
        request = {"id": context.request_id, "method": scope["method"][:_MAX_CHARACTERS]}
        self._write(
            reason,
            principal,
            http={"request": request, "response": {"status_code": status}},
            url={"path": scope["path"][:_MAX_CHARACTERS]},
            source={"ip": client[0]} if client else {},
            trace={"id": context.trace_id},
        )

    def flush(self, *, ended: bool = True) -> None:
        """Log the sums of the windows that have ended, or of all; call this now and then."""
        now = time.monotonic()
        for key, window in list(self._windows.items()):
            if now >= window.ends or not ended:
                del self._windows[key]
                self._write_sum(window)

    def _has_own_line(self, status: int, principal: Principal | None) -> bool:
        key, now = (status, principal.mask if principal else ""), time.monotonic()
        window = self._windows.get(key)
        if window is not None and now >= window.ends:
            self._write_sum(window)
            window = None
        if window is None:
            window = self._windows[key] = _Window(now + WINDOW_SECONDS, status, principal)
        if window.lines < MOST_LINES:
            window.lines += 1
            return True
        window.more += 1
        return False

    def _write_sum(self, window: _Window) -> None:
        if not window.more:
            return
        reason = f"and {window.more} more requests were refused with {window.status} within {WINDOW_SECONDS:g} s."
        self._write(reason, window.principal, http={"response": {"status_code": window.status}}, more=window.more)

    def _write(self, reason: str, principal: Principal | None, more: int = 0, **fields: dict[str, Any]) -> None:
        ours = ({"caller": principal.mask} if principal else {}) | ({"more": more} if more else {})
        user = {"name": principal.name} if principal else {}
        _log.warning("%s", reason, extra={"event": _EVENT, "user": user, "slipway": ours, **fields})
