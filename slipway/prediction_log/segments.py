"""Segments: the files of JSON lines in the spool, from the server's first line to the shipper's last.

A segment is `SPOOL/USECASE/STREAM-OPENED-PID-TOKEN.jsonl.open` while a worker writes it and holds its lock
(flock, which the kernel frees when the worker dies), and loses the `.open` when it is complete.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from slipway.prediction_log.jsonl import count
from slipway.system.locks import lock
from slipway.timestamps import for_name, parse_name

OPEN = ".open"
COMPLETE = ".jsonl"


@dataclass(frozen=True, order=True)
class Segment:
    """One segment as it was listed; a moment later it may be renamed or gone."""

    opened: datetime
    path: Path
    stream: str

    @property
    def complete(self) -> bool:
        return self.path.suffix != OPEN

    @property
    def stem(self) -> str:
        """The name without its endings: what the segment keeps all its life, and its Parquet file is named after."""
        return self.path.name.removesuffix(OPEN).removesuffix(COMPLETE)

    @property
    def names(self) -> tuple[Path, Path]:
        """Where its lines are: while open, and when complete."""
        return self.path.with_name(self.stem + COMPLETE + OPEN), self.path.with_name(self.stem + COMPLETE)


def segments(spool: Path, usecase: str, stream: str | None = None) -> list[Segment]:
    """The use case's segments, open ones too, oldest first."""
    try:
        paths = list((spool / usecase).iterdir())
    except FileNotFoundError:
        return []
    found = (_parse(path) for path in paths)
    return sorted(segment for segment in found if segment and stream in (None, segment.stream))


def create(folder: Path, stream: str) -> tuple[int, Path]:
    """A new open segment: its descriptor, locked, and its path. Raises OSError.

    Between creation and lock the shipper may take the file for an orphan; then another one is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        path = folder / _new_name(stream)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            lock(descriptor)
            path.stat()
            return descriptor, path
        except OSError as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            if not isinstance(error, BlockingIOError | FileNotFoundError):
                raise


def complete(path: Path) -> None:
    """Take the `.open` from a segment's name, or the file away where it has no line. Its lock must be held."""
    if path.stat().st_size:
        path.rename(path.with_name(path.name.removesuffix(OPEN)))
    else:
        path.unlink()


def open_lines(segment: Segment) -> BinaryIO | None:
    """The segment's file wherever it is by now; None when it was shipped and removed."""
    for path in segment.names:
        with suppress(FileNotFoundError):
            return path.open("rb")
    return None


def lines_in(segment: Segment) -> int:
    """How many lines it has now; none where it was shipped and removed."""
    file = open_lines(segment)
    if file is None:
        return 0
    with file:
        return count(file)


def adopt_orphans(spool: Path, usecase: str) -> None:
    """Complete the open segments whose lock is free: their worker is dead."""
    for segment in segments(spool, usecase):
        if segment.complete:
            continue
        with suppress(FileNotFoundError, BlockingIOError), segment.path.open("rb") as lines:
            lock(lines)
            complete(segment.path)


def _new_name(stream: str) -> str:
    """A name no other worker takes, on this machine or on another that ships into the same folder."""
    return f"{stream}-{for_name(datetime.now(UTC))}-{os.getpid()}-{secrets.token_hex(4)}{COMPLETE}{OPEN}"


def _parse(path: Path) -> Segment | None:
    if not path.name.endswith((COMPLETE, COMPLETE + OPEN)):
        return None
    stream, _, rest = path.name.partition("-")
    try:
        return Segment(parse_name(rest.split("-")[0]), path, stream)
    except ValueError:
        return None
