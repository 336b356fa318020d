"""Simulated server statuses, for tests of their users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from monitoring.release.server_status import Served, ServerStatus
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import RoleState, WorkerState

SINCE = "2026-01-01T00:00:00.000000Z"


def worker(version: str | None, pid: int = 1, **roles: RoleState) -> WorkerState:
    """Make a worker that serves a version, or none yet; `roles` is the outcome of its desired roles."""
    return WorkerState(pid, 1, version and digest(version), version, "cpu", "pointer", SINCE, roles)


def served(address: str, versions: Sequence[str | None], **roles: RoleState) -> ServerStatus:
    """Make the status of a server whose workers serve these versions, all with the same outcome of their roles."""
    workers = tuple(worker(version, pid, **roles) for pid, version in enumerate(versions, start=1))
    return ServerStatus(address, Served(version=next((v for v in versions if v), None), workers=workers))


def refused_by_follower(
    address: str, versions: Sequence[str | None], refused: str, reason: str, alias: str = "champion"
) -> ServerStatus:
    look = served(address, versions)
    refusals = {refused: Refusal(refused, alias, reason, SINCE)}
    return _with(look, refused=refusals)


def refused_by_workers(address: str, serving: Sequence[str | None], refused: str, reason: str) -> ServerStatus:
    return served(address, serving, champion=RoleState(digest(refused), refused, "refused", reason))


def digest(version: str) -> str:
    return f"{int(version):064x}"


def _with(look: ServerStatus, **changes: Any) -> ServerStatus:
    assert look.served
    return ServerStatus(look.address, msgspec.structs.replace(look.served, **changes))
