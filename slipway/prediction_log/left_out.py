"""What a reader leaves out of the log: a file that cannot be read, or lines of it that are no events."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.prediction_log.jsonl import count
from slipway.system.files import open_regular

_NAMED = 3


@dataclass(frozen=True)
class LeftOut:
    """A file of the log and why it is left out; `lines` where only some of its lines are."""

    file: str
    why: str
    lines: int = 0


def bad_lines(file: str, lines: int) -> LeftOut:
    """The finding that lines of a file are no events."""
    return LeftOut(file, "1 line that is no event" if lines == 1 else f"{lines:,} lines that are no events", lines)


def kept_lines(files: Mapping[str, Path]) -> list[LeftOut]:
    """The findings of `.bad` files, which have the lines of shipped segments that are no events."""
    found = []
    for name, path in files.items():
        try:
            with open_regular(path) as file:
                found.append(bad_lines(name, count(file)))
        except OSError as error:
            found.append(LeftOut(name, why_not_opened(error)))
    return found


def why_not_opened(error: OSError) -> str:
    """Why a file cannot be opened. Raises the error again if the reason is this process, and not the file."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error
    return str(error.strerror)


def describe(left_out: Sequence[LeftOut]) -> str:
    """One sentence for a person, which counts the files and names the first ones; empty if there are none."""
    if not left_out:
        return ""
    named = [f"{each.file} ({each.why})" for each in left_out[:_NAMED]]
    more = [f"and {len(left_out) - _NAMED:,} more"] if len(left_out) > _NAMED else []
    files = "1 file" if len(left_out) == 1 else f"{len(left_out):,} files"
    return f"The log was read without what is broken in {files}: {', '.join([*named, *more])}."
