"""Observed state of the servers: each worker writes what it serves to `serving/USECASE/state/PID-TOKEN.json`.

The state counts while the worker holds the lock of `PID-TOKEN.lock`, which the kernel frees when the worker dies. A
pid alone means nothing in another container of the same pod, and is given to another process after a restart.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from slipway.errors import DamagedFile
from slipway.system.files import read_struct, remove_drafts, write_json
from slipway.system.locks import create_locked, is_held

_LOCK = ".lock"


class StateFile:
    """The state file of this worker, valid until `remove` or the end of the process, however it ends."""

    def __init__(self, serving: Path, usecase: str) -> None:
        self._lock_path = _folder(serving, usecase) / f"{os.getpid()}-{secrets.token_hex(4)}{_LOCK}"
        self._held: IO[bytes] | None = None

    def write(self, state: WorkerState) -> None:
        """Replace the state; the former one stays if this raises OSError."""
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        if self._held is None:
            self._held = create_locked(self._lock_path)
        write_json(_content(self._lock_path), state, durable=False)

    def remove(self) -> None:
        """Remove the state and free its lock."""
        with contextlib.suppress(OSError):
            _remove(self._lock_path)
        if self._held is not None:
            self._held.close()
            self._held = None


def read(serving: Path, usecase: str) -> list[WorkerState]:
    """Read the states of the living workers on this machine, ordered by pid. A damaged one is left out."""
    found = []
    for lock in _folder(serving, usecase).glob(f"*{_LOCK}"):
        with contextlib.suppress(OSError, DamagedFile):
            if is_held(lock) and (state := read_struct(_content(lock), WorkerState)):
                found.append(state)
    return sorted(found, key=lambda state: state.pid)


def living_pids(serving: Path, usecases: Iterable[str]) -> list[int]:
    """Return the ids of the living workers, in order; one that serves several of the use cases is probed once."""
    found: set[int] = set()
    for usecase in usecases:
        for lock in _folder(serving, usecase).glob(f"*{_LOCK}"):
            pid = lock.name.partition("-")[0]
            with contextlib.suppress(OSError):
                if pid.isdigit() and int(pid) not in found and is_held(lock):
                    found.add(int(pid))
    return sorted(found)


def forget_dead(serving: Path, usecase: str) -> None:
    """Remove the states of workers that were killed; their names are not used again."""
    for lock in _folder(serving, usecase).glob(f"*{_LOCK}"):
        with contextlib.suppress(OSError):
            if not is_held(lock):
                _remove(lock)


def _folder(serving: Path, usecase: str) -> Path:
    return serving / usecase / "state"


def _content(lock: Path) -> Path:
    return lock.with_suffix(".json")


def _remove(lock: Path) -> None:
    remove_drafts(lock.parent, _content(lock).name)
    _content(lock).unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


class RoleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a role in a worker: `outcome` is `serving`, `loading`, `refused` or `failed`."""

    digest: str
    version: str | None = None
    outcome: str = "serving"
    reason: str | None = None


class WorkerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a worker.

    `generation` is that of the pointer that it has acted on; `serving` is the digest that answers requests, in any
    state of the `roles`.
    """

    pid: int
    generation: int
    serving: str | None
    version: str | None
    device: str
    source: str
    since: str
    roles: dict[str, RoleState] = {}
