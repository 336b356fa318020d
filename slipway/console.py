"""Progress: a bar with an estimate on a terminal, one plain line per step elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import typer

T = TypeVar("T")


def say(line: str) -> None:
    """Print a line for a person who waits."""
    typer.echo(line, err=True)


def track(items: Iterable[T], label: str, length: int | None = None) -> Iterator[T]:
    """Yield the items: under a bar with the time left on a terminal; elsewhere one line when they are done."""
    if sys.stderr.isatty():
        with typer.progressbar(items, label=label, length=length, file=sys.stderr) as bar:
            yield from bar
        return
    started, count = time.monotonic(), 0
    for item in items:
        yield item
        count += 1
    say(f"{label}: {count} in {time.monotonic() - started:.1f} s")
