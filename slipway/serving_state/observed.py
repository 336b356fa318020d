"""What each worker of a server does: `serving/USECASE/state/PID-TOKEN.json`, seen by others while the worker lives.

Beside it lies `PID-TOKEN.lock`: the worker holds its lock (flock), and the kernel frees that when the worker dies. A
pid would say nothing in another container of the same pod, and comes again after a restart, for another process.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import IO

import msgspec

from slipway.system.files import write_json
from slipway.system.locks import create_locked, is_held

_LOCK = ".lock"


class StateFile:
    """A worker's own file. It goes with `remove` or with the process, however that ends."""

    def __init__(self, serving: Path, usecase: str) -> None:
        self._lock_path = _folder(serving, usecase) / f"{os.getpid()}-{secrets.token_hex(4)}{_LOCK}"
        self._held: IO[bytes] | None = None

    def write(self, state: WorkerState) -> None:
        """Replace what was written before, which stays where this raises OSError."""
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        if self._held is None:
            self._held = create_locked(self._lock_path)
        write_json(_content(self._lock_path), state, durable=False)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            _remove(self._lock_path)
        if self._held is not None:
            self._held.close()
            self._held = None


def read(serving: Path, usecase: str) -> list[WorkerState]:
    """The states of the living workers on this machine, by pid."""
    found = []
    for lock in _folder(serving, usecase).glob(f"*{_LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            if is_held(lock):
                found.append(msgspec.json.decode(_content(lock).read_bytes(), type=WorkerState))
    return sorted(found, key=lambda state: state.pid)


def forget_dead(serving: Path, usecase: str) -> None:
    """Remove the states of workers that were killed; no name comes again."""
    for lock in _folder(serving, usecase).glob(f"*{_LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            if not is_held(lock):
                _remove(lock)


def _folder(serving: Path, usecase: str) -> Path:
    return serving / usecase / "state"


def _content(lock: Path) -> Path:
    return lock.with_suffix(".json")


def _remove(lock: Path) -> None:
    _content(lock).unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


class RoleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one role's digest in a worker: `outcome` is `serving`, `loading`, `refused` or `failed`."""

    digest: str
    version: str | None = None
    outcome: str = "serving"
    reason: str | None = None


class WorkerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`generation` is the pointer's that the worker has acted on; `serving` answers, whatever `roles` asked for."""

    pid: int
    generation: int
    serving: str | None
    version: str | None
    device: str
    source: str
    since: str
    roles: dict[str, RoleState] = {}
