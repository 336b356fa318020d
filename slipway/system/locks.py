"""Locks between processes of one machine: flock(2) on a file, which the kernel frees when the holder dies.

The file stays when the lock is released: to remove it would let two processes lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

Locked: TypeAlias = IO[Any] | int  # an open file, or its descriptor


@contextmanager
def exclusive(path: Path) -> Iterator[IO[str]]:
    """Hold the lock for the length of the block, waiting until it is free; gives the file, open to read and append.

    Raises:
        OSError: the file cannot be made.
    """
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextmanager
def try_exclusive(path: Path) -> Iterator[IO[str]]:
    """Hold the lock for the length of the block, without waiting; gives the file, open to read and append.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    with acquire(path) as file:
        yield file


def acquire(path: Path) -> IO[str]:
    """Take the lock without waiting, until the file that is returned is closed or the process ends.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    file = _opened(path)
    try:
        lock(file)
    except OSError:
        file.close()
        raise
    return file


def lock(file: Locked, *, wait: bool = False) -> None:
    """Lock an open file. Raises BlockingIOError if another process holds it and `wait` is not set."""
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def create_locked(path: Path) -> IO[bytes]:
    """Create a file and lock it. Between the two, others may take it for a dead process's and remove it: then it is
    created again. Raises OSError."""
    while True:
        file = path.open("wb")
        try:
            lock(file, wait=True)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except OSError:
            file.close()
            raise
        file.close()


def is_held(path: Path) -> bool:
    """Tell whether a process holds the lock. The probe is a shared lock: two probes do not take each other for holders.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _opened(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")
