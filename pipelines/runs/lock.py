"""One training per use case at a time: a lock that the kernel takes back from whoever dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from slipway.errors import RunLocked
from slipway.settings import settings


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the use case's lock for the length of the block.

    Raises:
        RunLocked: another process holds it; the message names it.
    """
    path = settings().runs / f"{name}.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunLocked(
                f"a training of {name} is under way ({lock.read().strip() or 'just begun'}). "
                "Wait for it, or end that process: the same command then goes on where it stopped."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {datetime.now(UTC).isoformat(timespec='seconds')}")
        lock.flush()
        yield
