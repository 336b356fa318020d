"""What each worker of a server does: `serving/USECASE/state/PID-TOKEN.json`, seen by others while the worker lives.

A worker holds its file's lock (flock), which the kernel frees when it dies. A pid would say nothing to whoever is in
another container of the same pod, and comes again after a restart, for another process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from slipway.pointer import WorkerState

_ENDING = ".json"


class StateFile:
    """A worker's own file. It appears whole and locked, and goes with `remove` or the process, however that ends."""

    def __init__(self, serving: Path, usecase: str) -> None:
        self._path = _folder(serving, usecase) / f"{os.getpid()}-{secrets.token_hex(4)}{_ENDING}"
        self._held: BinaryIO | None = None

    def write(self, state: WorkerState) -> None:
        """Replace what was written before, which stays where this raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.tmp")
        file = draft.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(msgspec.json.encode(state))
            file.flush()
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.close()
            raise
        self._release()
        self._held = file

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def read(serving: Path, usecase: str) -> list[WorkerState]:
    """The states of the living workers on this machine, by pid."""
    found = []
    for path in _paths(serving, usecase):
        with _opened(path) as file:
            if file is not None and _is_held(file):
                found.append(msgspec.json.decode(file.read(), type=WorkerState))
    return sorted(found, key=lambda state: state.pid)


def forget_dead(serving: Path, usecase: str) -> None:
    """Remove the states of workers that were killed; no name comes again."""
    for path in _paths(serving, usecase):
        with _opened(path) as file:
            if file is not None and not _is_held(file):
                path.unlink(missing_ok=True)


def _folder(serving: Path, usecase: str) -> Path:
    return serving / usecase / "state"


def _paths(serving: Path, usecase: str) -> list[Path]:
    return list(_folder(serving, usecase).glob(f"*{_ENDING}"))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """The file that has this name, or None; the one that a worker writes anew at this moment is looked for again."""
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            if _is_held(file) or _has_name(file, path):
                yield file
                return


def _is_held(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _has_name(file: BinaryIO, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
