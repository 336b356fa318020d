"""The shipper: complete segments of the prediction log go to every sink, and then out of the spool.

A sink may be given the same segment again, after a kill or because another sink failed, and must end up the same.
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
    """Where events go."""

    name: str

    def take(self, usecase: str, segment: Segment) -> int:
        """Keep the segment's events for good before returning; how many there are. Raises when it cannot."""


@dataclass
class Shipped:
    """What one pass did; `failed` says why segments and images had to stay."""

    segments: int = 0
    events: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Totals:
    """What was done since the start, by use case."""

    segments: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


class Shipper:
    """Passes over the spool. Another shipper of the same spool waits for the end of a pass.

    `moved` is when it last began with something, in `time.monotonic()`.
    """

    def __init__(self, settings: Settings, sinks: Sequence[Sink]) -> None:
        self.totals = Totals()
        self.moved = time.monotonic()
        self._settings = settings
        self._spool = settings.spool
        self._sinks = sinks
        self._taken: set[tuple[str, str]] = set()

    def ship(self, enough: Callable[[], bool] = lambda: False) -> Shipped:
        """Ship every complete segment, oldest first, until `enough`. What fails stays and is tried in the next pass."""
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
        """The lines and images that are still in the spool, those of servers that still write included."""
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
            except Exception as error:  # one sink's trouble, of whatever kind, must not stop the others
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
        """The first that fails is reason to leave the others for the next pass."""
        at = object_store(self._settings)
        for image in captured(self._spool, usecase):
            if enough():
                return
            self.moved = time.monotonic()
            try:
                move_image(image, at)
            except Exception as error:  # of whatever kind: events must not wait for it
                shipped.failed.append(f"{usecase}'s image {image.name} did not reach the log: {error}")
                self.totals.failures[usecase] += 1
                return


class ParquetSink:
    """The sink that every statistic and every training reads: Parquet under SLIPWAY_LOG_URL."""

    name = "Parquet"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings, small=True)

    def take(self, usecase: str, segment: Segment) -> int:
        return archive(self._connection, self._settings, usecase, segment)


def follow(settings: Settings, shipper: Shipper, say: Callable[[str], None]) -> int:
    """Ship until SIGTERM or Ctrl-C, then until the spool is empty: also of what servers leave that end only now.

    What fails is tried again, until a second signal. Returns how much is left: 0, but for that.
    """
    failing: list[str] = []
    with _signals() as came:
        say(f"shipping {settings.spool} to {settings.log_root}")
        while True:
            before = len(came)
            enough = partial(_more, came, before)
            shipped = shipper.ship(enough)
            if shipped.segments:
                say(f"{shipped.events} events of {shipped.segments} segments")
            if shipped.failed and shipped.failed != failing:
                say(f"{len(shipped.failed)} times it failed, and is tried again: {shipped.failed[0]}")
            failing = shipped.failed
            if before:
                left = shipper.left()
                say(f"{left} events are left")
                if not left or len(came) > 1:
                    return left
            _pause(enough)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of the signals to end that came. A list, not an Event, which a handler could find locked."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _more(came: list[int], before: int) -> bool:
    return len(came) > before


def _pause(enough: Callable[[], bool]) -> None:
    end = time.monotonic() + PAUSE_SECONDS
    while time.monotonic() < end and not enough():
        time.sleep(_GLANCE_SECONDS)


def usecases(spool: Path) -> list[str]:
    """The use cases that have a folder in the spool."""
    return sorted(path.name for path in spool.iterdir() if path.is_dir()) if spool.is_dir() else []


def lag(settings: Settings) -> dict[str, float]:
    """Seconds since the oldest line that is not shipped, per use case: `slipway_prediction_log_lag_seconds`.

    It is read from the spool, so that it grows while no shipper runs. Under traffic it swings between 0 and somewhat
    more than the age at which segments rotate.
    """
    waiting = {usecase: segments(settings.spool, usecase) for usecase in usecases(settings.spool)}
    return {usecase: _age(some[0]) if some else 0.0 for usecase, some in waiting.items()}


def _age(segment: Segment) -> float:
    return max(0.0, (datetime.now(UTC) - segment.opened).total_seconds())
