"""The processes of the service on this machine, by name: the supervisor, its workers, and the follower."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from bentos.server import supervisor
from slipway.errors import DamagedFile
from slipway.serving_state import follower_status, observed
from slipway.settings import Settings

_WORKER = b"--worker-id"  # BentoML's argument: a worker that is started again has the same number
_FOLLOWER = b"follow"


def find(settings: Settings, names: Sequence[str]) -> dict[str, int]:
    """Return the process ids: `supervisor`, `worker-1`, `worker-2`, …, `follower`; of those that run here.

    Ids come from state files, which another container may have written: arguments tell whose a process is.
    """
    found = {"supervisor": os.getppid()} if supervisor.is_present() else {}
    for pid in observed.living_pids(settings.serving, names):
        found.setdefault(_worker_name(pid), pid)
    for name in names:
        with contextlib.suppress(DamagedFile, OSError):
            status = follower_status.read_status(settings.serving, name)
            if status and _FOLLOWER in _arguments(status.pid):
                return found | {"follower": status.pid}
    return found


def _worker_name(pid: int) -> str:
    arguments = _arguments(pid)
    number = arguments[arguments.index(_WORKER) + 1].decode() if _WORKER in arguments[:-1] else "1"
    return f"worker-{number}"


def _arguments(pid: int) -> list[bytes]:
    """Return the command line of a process; nothing where there is no such process."""
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    return []
