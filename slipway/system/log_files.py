"""Log files that other processes write: emptied at their start, rotated while they write on, and read by people."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MOST_BYTES = 16 << 20


@contextmanager
def empty_log(path: Path) -> Iterator[IO[bytes]]:
    """Open an empty log for a process. It appends, so what it writes after a rotation is at the file's new end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with path.open("ab") as file:
        yield file


def rotate(path: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Move what a log that is too long holds to `NAME.1`, in place of what was there; tells whether that was due.

    Its process keeps the file open, so the content is copied and the file truncated: a line that is written in between
    is lost. What cannot be copied, on a full disk, is dropped: a log must not grow without end.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > most_bytes:
            with contextlib.suppress(OSError):
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
            return True
    return False


def readable(line: str) -> str:
    """Shorten a line of JSON to its level and message; any other line is as it is.

    >>> readable('{"log.level":"error","message":"the disk is full"}')
    'ERROR the disk is full'
    """
    try:
        found = json.loads(line)
        return f"{found['log.level'].upper()} {found['message']}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return line
