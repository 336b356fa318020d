"""Checkpoints: up to which byte Elasticsearch has a segment, in `SPOOL/USECASE/STEM.elasticsearch`.

The number is the file's *size*: it is empty inside, takes no block of the disk, and so can be moved on a full one,
which shipping is to empty. One that is there before a process begins its segment tells that another was interrupted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from slipway.prediction_log import Segment, segments
from slipway.system.files import sync

ENDING = ".elasticsearch"


def read(segment: Segment) -> int | None:
    """Read a segment's checkpoint; None if nothing of it was sent yet. One beyond the segment counts as 0."""
    try:
        end = _path(segment).stat().st_size
    except FileNotFoundError:
        return None
    return end if end <= segment.path.stat().st_size else 0


def write(segment: Segment, end: int) -> None:
    """Move a segment's checkpoint, which outlasts a power cut from then on. Raises OSError."""
    path = _path(segment)
    with suppress(FileNotFoundError):
        os.truncate(path, end)
        sync(path)
        return
    path.touch()
    os.truncate(path, end)
    sync(path)
    sync(path.parent)


def remove(segment: Segment) -> None:
    """Remove the checkpoint of a segment that has left the spool."""
    _path(segment).unlink(missing_ok=True)


def remove_left(spool: Path, usecase: str) -> None:
    """Remove checkpoints whose segment is gone: a shipper was killed between the two."""
    paths = list((spool / usecase).glob(f"*{ENDING}"))
    stems = {segment.stem for segment in segments(spool, usecase)} if paths else set()
    for path in paths:
        if path.name.removesuffix(ENDING) not in stems:
            path.unlink(missing_ok=True)


def _path(segment: Segment) -> Path:
    return segment.path.with_name(segment.stem + ENDING)
