"""The shipper: complete segments of the prediction log go to every sink, and then out of the spool.

A sink may be given the same segment again, after a kill or because another sink failed, and must end up the same.
"""

from __future__ import annotations

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from slipway.prediction_log import Segment, adopt_orphans, archive, connect, segments
from slipway.settings import Settings

PAUSE_SECONDS = 2.0


class Sink(Protocol):
    """Where events go."""

    name: str

    def take(self, usecase: str, segment: Segment) -> int:
        """Keep the segment's events for good before returning; how many there are. Raises when it cannot."""


@dataclass
class Shipped:
    """What one pass did; `failed` says why segments had to stay."""

    segments: int = 0
    events: int = 0
    failed: list[str] = field(default_factory=list)


class Shipper:
    """Passes over the spool. Another shipper of the same spool waits for the end of a pass."""

    def __init__(self, settings: Settings, sinks: Sequence[Sink]) -> None:
        self._spool = settings.spool
        self._sinks = sinks
        self._taken: set[tuple[str, str]] = set()

    def ship(self, enough: Callable[[], bool] = lambda: False) -> Shipped:
        """Ship every complete segment, oldest first, until `enough`. What fails stays and is tried in the next pass."""
        shipped = Shipped()
        with _alone(self._spool):
            for usecase in usecases(self._spool):
                adopt_orphans(self._spool, usecase)
                for segment in segments(self._spool, usecase):
                    if enough():
                        return shipped
                    if segment.complete:
                        self._ship(usecase, segment, shipped)
        return shipped

    def _ship(self, usecase: str, segment: Segment, shipped: Shipped) -> None:
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
        if not failures:
            segment.path.unlink()
            self._taken -= {(sink.name, segment.stem) for sink in self._sinks}
            shipped.segments += 1
            shipped.events += events


@contextmanager
def _alone(spool: Path) -> Iterator[None]:
    spool.mkdir(parents=True, exist_ok=True)
    with (spool / ".ship.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class ParquetSink:
    """The sink that every statistic and every training reads: Parquet under SLIPWAY_LOG_URL."""

    name = "Parquet"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings)

    def take(self, usecase: str, segment: Segment) -> int:
        return archive(self._connection, self._settings, usecase, segment)


def follow(shipper: Shipper, say: Callable[[str], None]) -> None:
    """Ship until SIGTERM or Ctrl-C, then once more: servers that stopped before leave complete segments."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    failing: list[str] = []
    try:
        while True:
            last = stop.is_set()
            shipped = shipper.ship()
            if shipped.segments:
                say(f"{shipped.events} events of {shipped.segments} segments")
            if shipped.failed and shipped.failed != failing:
                say(f"{len(shipped.failed)} segments stay and are tried again: {shipped.failed[0]}")
            failing = shipped.failed
            if last:
                return
            stop.wait(PAUSE_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
