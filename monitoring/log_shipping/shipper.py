"""Shipper: complete segments of the prediction log go to every sink, and are then removed from the spool.

Each sink has a thread of its own, so that one which is slow or fails holds up no other.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from monitoring.log_shipping import checkpoints, refused_documents
from monitoring.log_shipping.sinks import Sink, SinkUnavailable, Totals
from slipway.ecs_logging.spool_handler import FOLDER
from slipway.prediction_log import Segment, adopt_orphans, captured, lines_in, move_image, segments
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.system import locks

LOCK = ".ship.lock"
"""Name of the lock in a spool, which is held during a pass: whoever holds it finds the spool at rest."""
PAUSE_SECONDS = 2.0
_GLANCE_SECONDS = 0.1
_AUDIT = "the audit"
_Waiting = Sequence[tuple[str, Segment]]


@dataclass
class Shipped:
    """Result of one pass; `failed` has the reasons why segments and other files stayed."""

    segments: int = 0
    events: int = 0
    audit_lines: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class _Pass:
    """A pass: its result so far, when it is enough, and what is not yet through with what waited when it began."""

    enough: Callable[[], bool]
    behind: set[str]
    shipped: Shipped = field(default_factory=Shipped)
    through: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._look()

    def finish(self, name: str) -> None:
        self.behind.discard(name)
        self._look()

    def _look(self) -> None:
        if not self.behind:
            self.through.set()


class Shipper:
    """Ships a spool in passes. Another shipper of the same spool waits for the end of a pass.

    `moved` is when it last began a segment or another file, in `time.monotonic()`.
    """

    def __init__(
        self,
        settings: Settings,
        sinks: Sequence[Sink],
        totals: Totals | None = None,
        copy_audit: Callable[[], int] | None = None,
    ) -> None:
        self.totals = totals or Totals()
        self.moved = time.monotonic()
        self._settings = settings
        self._spool = settings.spool
        self._sinks = sinks
        self._copy_audit = copy_audit
        self._taken: dict[str, dict[str, int]] = {}  # the events that each sink took, by a segment's stem
        self._recording = threading.Lock()

    def ship(self, enough: Callable[[], bool] = lambda: False) -> Shipped:
        """Ship every complete segment, oldest first, until `enough`; failed ones are retried in the next pass."""
        self.moved = time.monotonic()
        with locks.exclusive(self._spool / LOCK):
            self._forget_removed()
            now = _Pass(enough, {sink.name for sink in self._sinks} | ({_AUDIT} if self._copy_audit else set()))
            tasks = [partial(self._move_files, now)]
            tasks += [partial(self._ship_to, sink, self._lacking(sink), now) for sink in self._sinks]
            if self._copy_audit:
                tasks.append(partial(self._ship_audit, self._copy_audit, now))
            with ThreadPoolExecutor(len(tasks), "ship") as threads:
                for task in [threads.submit(task) for task in tasks]:
                    task.result()
        return now.shipped

    def left(self) -> int:
        """Number of lines and other files in the spool, including those of servers that still write."""
        waiting = usecases(self._spool)
        lines = sum(lines_in(segment) for usecase in waiting for segment in segments(self._spool, usecase))
        return lines + sum(
            len(captured(self._spool, usecase)) + len(refused_documents.waiting(self._spool, usecase))
            for usecase in waiting
        )

    def lags(self) -> dict[tuple[str, str], float]:
        """Seconds since the oldest line that a sink lacks, by use case and sink."""
        found = {}
        for usecase in usecases(self._spool):
            waiting = segments(self._spool, usecase)
            for sink in self._sinks:
                lacking = (segment for segment in waiting if sink.name not in self._taken.get(segment.stem, ()))
                oldest = next(lacking, None)
                found[usecase, sink.name] = _age(oldest) if oldest else 0.0
        return found

    def _lacking(self, sink: Sink) -> list[tuple[str, Segment]]:
        """List the complete segments that a sink lacks, oldest first. Nobody removes one before the sink has it."""
        with self._recording:  # before the listing: what the sink has may be removed meanwhile
            taken = {stem for stem, sinks in self._taken.items() if sink.name in sinks}
        found = []
        for usecase in usecases(self._spool):
            adopt_orphans(self._spool, usecase)
            waiting = segments(self._spool, usecase)
            found += [(usecase, each) for each in waiting if each.complete and each.stem not in taken]
        return found

    def _forget_removed(self) -> None:
        """Forget segments that another shipper has removed, and checkpoints of those that are gone."""
        stems = set()
        for usecase in usecases(self._spool):
            checkpoints.remove_left(self._spool, usecase)
            stems |= {segment.stem for segment in segments(self._spool, usecase)}
        for stem in self._taken.keys() - stems:
            del self._taken[stem]

    def _ship_to(self, sink: Sink, waiting: _Waiting, now: _Pass) -> None:
        """Bring what waits to a sink, and then what comes while another one is still at it, such as after an outage."""
        try:
            self._ship_all(sink, waiting, now)
        finally:
            now.finish(sink.name)
        while not now.through.wait(PAUSE_SECONDS) and not now.enough():
            self._ship_all(sink, self._lacking(sink), now)

    def _ship_all(self, sink: Sink, waiting: _Waiting, now: _Pass) -> None:
        """Bring segments to a sink, oldest first, until it is unavailable."""
        rest, unavailable = iter(waiting), threading.Event()
        with ThreadPoolExecutor(sink.at_once, sink.name) as threads:
            workers = [threads.submit(self._ship_rest, sink, rest, unavailable, now) for _ in range(sink.at_once)]
            for worker in workers:
                worker.result()

    def _ship_rest(
        self, sink: Sink, rest: Iterator[tuple[str, Segment]], unavailable: threading.Event, now: _Pass
    ) -> None:
        """Take segments from an iterator that other threads share: that of a list gives each one once."""
        for usecase, segment in rest:
            if now.enough() or unavailable.is_set():
                return
            self.moved = time.monotonic()
            try:
                events = sink.take(usecase, segment)
            except Exception as error:  # no failure of one sink may stop the others
                reason = f"{usecase}/{segment.stem} did not reach {sink.name}: {error}"
                self._record_failure(usecase, now.shipped, reason)
                if isinstance(error, SinkUnavailable):
                    unavailable.set()
            else:
                self._record_taken(sink, usecase, segment, events, now.shipped)

    def _record_taken(self, sink: Sink, usecase: str, segment: Segment, events: int, shipped: Shipped) -> None:
        """Note that a sink has a segment; it leaves the spool with the last one that takes it."""
        with self._recording:
            taken = self._taken.setdefault(segment.stem, {})
            taken[sink.name] = events
            if len(taken) < len(self._sinks):
                return
            segment.path.unlink()
            checkpoints.remove(segment)
            events = max(taken.values())  # one that was interrupted counts only what it did since
            del self._taken[segment.stem]
            if usecase != FOLDER:  # else the shipper's own line about log lines would be the next one to ship
                shipped.segments += 1
                shipped.events += events
            self.totals.segments[usecase] += 1
            self.totals.events[usecase] += events

    def _record_failure(self, usecase: str, shipped: Shipped, reason: str) -> None:
        with self._recording:
            if reason not in shipped.failed:
                shipped.failed.append(reason)
            self.totals.failures[usecase] += 1

    def _ship_audit(self, copy: Callable[[], int], now: _Pass) -> None:
        """Copy audit lines. They wait in the object store, so a failure holds up nothing."""
        try:
            now.shipped.audit_lines = copy()
        except Exception as error:  # as with a sink
            with self._recording:
                now.shipped.failed.append(f"the audit was not copied: {error}")
        finally:
            now.finish(_AUDIT)

    def _move_files(self, now: _Pass) -> None:
        """Move captured images and refused documents, and then those that come while a sink is still at it."""
        self._move_all(now)
        while not now.through.wait(PAUSE_SECONDS) and not now.enough():
            self._move_all(now)

    def _move_all(self, now: _Pass) -> None:
        """Move what waits; after the first failure of a use case its others wait."""
        store = object_store(self._settings)
        for usecase in usecases(self._spool):
            images = [partial(move_image, path, store) for path in captured(self._spool, usecase)]
            refused = [
                partial(refused_documents.move, path, usecase, self._settings, store)
                for path in refused_documents.waiting(self._spool, usecase)
            ]
            for move in [*refused, *images]:
                if now.enough():
                    return
                self.moved = time.monotonic()
                try:
                    move()
                except Exception as error:  # no failure of a file may delay events
                    reason = f"{usecase}'s file {move.args[0].name} did not reach the log: {error}"
                    self._record_failure(usecase, now.shipped, reason)
                    break


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
            if shipped.audit_lines:
                say(f"{shipped.audit_lines} audit lines copied to Elasticsearch")
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
