"""Shipper: complete segments of the prediction log go to every sink, and are then removed from the spool.

A sink may get the same segment again, after a kill or because another sink failed, and must be idempotent.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from slipway.prediction_log import (
    Segment,
    adopt_orphans,
    archive,
    captured,
    connect,
    lines_in,
    move_image,
    segments,
)
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.system import locks

PAUSE_SECONDS = 2.0
_GLANCE_SECONDS = 0.1


class Sink(Protocol):
    """Destination of events."""

    name: str

    def take(self, usecase: str, segment: Segment) -> int:
        """Store the segment's events durably and return their number. Raises if it cannot."""


@dataclass
class Shipped:
    """Result of one pass; `failed` has the reasons why segments and images stayed."""

    segments: int = 0
    events: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Totals:
    """Totals since the start, by use case."""

    segments: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


class Shipper:
    """Ships a spool in passes. Another shipper of the same spool waits for the end of a pass.

    `moved` is when it last began a segment or an image, in `time.monotonic()`.
    """

    def __init__(self, settings: Settings, sinks: Sequence[Sink]) -> None:
        self.totals = Totals()
        self.moved = time.monotonic()
        self._settings = settings
        self._spool = settings.spool
        self._sinks = sinks
        self._taken: set[tuple[str, str]] = set()

    def ship(self, enough: Callable[[], bool] = lambda: False) -> Shipped:
        """Ship every complete segment, oldest first, until `enough`; failed ones are retried in the next pass."""
        shipped = Shipped()
        self.moved = time.monotonic()
        with locks.exclusive(self._spool / ".ship.lock"):
            for usecase in usecases(self._spool):
                adopt_orphans(self._spool, usecase)
                self._move_images(usecase, shipped, enough)
                for segment in segments(self._spool, usecase):
                    if enough():
                        return shipped
                    if segment.complete:
                        self._ship(usecase, segment, shipped)
        return shipped

    def left(self) -> int:
        """Number of lines and images in the spool, including those of servers that still write."""
        waiting = usecases(self._spool)
        lines = sum(lines_in(segment) for usecase in waiting for segment in segments(self._spool, usecase))
        return lines + sum(len(captured(self._spool, usecase)) for usecase in waiting)

    def _ship(self, usecase: str, segment: Segment, shipped: Shipped) -> None:
        self.moved = time.monotonic()
        events = 0
        failures = []
        for sink in self._sinks:
            if (sink.name, segment.stem) in self._taken:
                continue
            try:
                events = sink.take(usecase, segment)
                self._taken.add((sink.name, segment.stem))
            except Exception as error:  # no failure of one sink may stop the others
                failures.append(f"{usecase}/{segment.stem} did not reach {sink.name}: {error}")
        shipped.failed += failures
        self.totals.failures[usecase] += len(failures)
        if not failures:
            segment.path.unlink()
            self._taken -= {(sink.name, segment.stem) for sink in self._sinks}
            shipped.segments += 1
            shipped.events += events
            self.totals.segments[usecase] += 1
            self.totals.events[usecase] += events

    def _move_images(self, usecase: str, shipped: Shipped, enough: Callable[[], bool]) -> None:
        """Move captured images; after the first failure the others wait for the next pass."""
        at = object_store(self._settings)
        for image in captured(self._spool, usecase):
            if enough():
                return
            self.moved = time.monotonic()
            try:
                move_image(image, at)
            except Exception as error:  # no failure of an image may delay events
                shipped.failed.append(f"{usecase}'s image {image.name} did not reach the log: {error}")
                self.totals.failures[usecase] += 1
                return


class ParquetSink:
    """Sink that statistics and trainings read: Parquet under SLIPWAY_LOG_URL."""

    name = "Parquet"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings, small=True)

    def take(self, usecase: str, segment: Segment) -> int:
        return archive(self._connection, self._settings, usecase, segment)


def follow(settings: Settings, shipper: Shipper, say: Callable[[str], None]) -> int:
    """Ship until SIGTERM or Ctrl-C, then until the spool is empty, including the last segments of servers that end.

    Failures are retried until a second signal. Returns the number of events that are left: 0 without that signal.
    """
    failing: list[str] = []
    with _signals() as received:
        say(f"shipping {settings.spool} to {settings.log_root}")
        while True:
            before = len(received)
            enough = partial(_more, received, before)
            shipped = shipper.ship(enough)
            if shipped.segments:
                say(f"{shipped.events} events of {shipped.segments} segments")
            if shipped.failed and shipped.failed != failing:
                say(f"{len(shipped.failed)} failures, which are retried: {shipped.failed[0]}")
            failing = shipped.failed
            if before:
                left = shipper.left()
                say(f"{left} events are left")
                if not left or len(received) > 1:
                    return left
            _pause(enough)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the numbers of received signals. A list, not an Event, whose lock a handler could find taken."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _more(received: list[int], before: int) -> bool:
    return len(received) > before


def _pause(enough: Callable[[], bool]) -> None:
    end = time.monotonic() + PAUSE_SECONDS
    while time.monotonic() < end and not enough():
        time.sleep(_GLANCE_SECONDS)


def usecases(spool: Path) -> list[str]:
    """Use cases that have a folder in the spool."""
    return sorted(path.name for path in spool.iterdir() if path.is_dir()) if spool.is_dir() else []


def lag(settings: Settings) -> dict[str, float]:
    """Seconds since the oldest line that is not shipped, per use case: `slipway_prediction_log_lag_seconds`.

    It is read from the spool, so that it grows while no shipper runs. Under traffic it varies between 0 and a little
    more than the age at which segments rotate.
    """
    waiting = {usecase: segments(settings.spool, usecase) for usecase in usecases(settings.spool)}
    return {usecase: _age(some[0]) if some else 0.0 for usecase, some in waiting.items()}


def _age(segment: Segment) -> float:
    return max(0.0, (datetime.now(UTC) - segment.opened).total_seconds())
