"""Segments: files of JSON lines in the spool, which a server writes and the shipper archives.

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
from slipway.system.files import IrregularFile, open_regular
from slipway.system.locks import lock
from slipway.timestamps import for_name, parse_name

OPEN = ".open"
COMPLETE = ".jsonl"
_NO_SEGMENT = (IsADirectoryError, IrregularFile)
_NOT_AN_ORPHAN = (FileNotFoundError, BlockingIOError, PermissionError, *_NO_SEGMENT)


@dataclass(frozen=True, order=True)
class Segment:
    """A segment as it was listed; it may be renamed or gone a moment later."""

    opened: datetime
    path: Path
    stream: str

    @property
    def complete(self) -> bool:
        return self.path.suffix != OPEN

    @property
    def stem(self) -> str:
        """The name without its endings, which stays the same, and which its Parquet file has, too."""
        return self.path.name.removesuffix(OPEN).removesuffix(COMPLETE)

    @property
    def names(self) -> tuple[Path, Path]:
        """The paths of its lines: while it is open, and when it is complete."""
        return self.path.with_name(self.stem + COMPLETE + OPEN), self.path.with_name(self.stem + COMPLETE)


def segments(spool: Path, usecase: str, stream: str | None = None) -> list[Segment]:
    """List the use case's segments, open ones too, the oldest first."""
    try:
        paths = list((spool / usecase).iterdir())
    except FileNotFoundError:
        return []
    found = (_parse(path) for path in paths)
    return sorted(segment for segment in found if segment and stream in (None, segment.stream))


def create(folder: Path, stream: str) -> tuple[int, Path]:
    """Create an open segment; returns its descriptor, locked, and its path. Raises OSError.

    Between creation and lock the shipper may take the file for an orphan; then another one is created.
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
    """Remove the `.open` of a segment's name, or the file if it has no line. Its lock must be held."""
    if path.stat().st_size:
        path.rename(path.with_name(path.name.removesuffix(OPEN)))
    else:
        path.unlink()


def open_lines(segment: Segment) -> BinaryIO | None:
    """Open the segment's file under either of its names; None if it was shipped and removed."""
    for path in segment.names:
        with suppress(FileNotFoundError):
            return open_regular(path)
    return None


def lines_in(segment: Segment) -> int:
    """Count its lines now; 0 if it was shipped and removed, or is no file."""
    with suppress(*_NO_SEGMENT):
        if file := open_lines(segment):
            with file:
                return count(file)
    return 0


def adopt_orphans(spool: Path, usecase: str) -> None:
    """Complete the open segments whose lock is free, since their worker is dead."""
    for segment in segments(spool, usecase):
        if segment.complete:
            continue
        with suppress(*_NOT_AN_ORPHAN), open_regular(segment.path) as lines:
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
