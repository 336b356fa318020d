"""Removes a subject's events from the log: passes over spool and Parquet files, until one finds nothing.

One pass is not enough: a label is found by a row that a later file shows. The next pass also finds what another process
wrote meanwhile, from files that it read before, or ships only now.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from monitoring.erasure.journal import Journal
from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.partition_reader import Partition, PartitionReader, among
from monitoring.erasure.rewriting import remove_leftovers, rewrite, rewrite_bad_lines
from monitoring.erasure.spool import Spool
from monitoring.erasure.subject import FEEDBACK, PREDICTION, Event, images_in, named_by
from slipway.contracts.events.prediction_event import logged_features
from slipway.errors import ServiceError
from slipway.prediction_log.layout import STREAMS
from slipway.settings import Settings

_MOST_PASSES = 5
_SELECTED = {
    PREDICTION: '"event.id", strftime("@timestamp", \'%Y-%m-%d\'), "slipway.row_id", "slipway.key", "slipway.row_key", '
    '"slipway.features"::VARCHAR',
    FEEDBACK: '"event.id"',
}


class LogEraser:
    """Eraser of one subject; what it finds is in the journal before it is removed.

    `unreadable` has the files that the last pass could not read, `bad_lines` counts lines that are no events.
    """

    def __init__(self, config: Settings, journal: Journal, *, dry_run: bool = False) -> None:
        self.bad_lines = 0
        self._journal = journal
        self._subject = journal.record.subject
        self._traces = journal.record.traces
        self._dry_run = dry_run
        self._reader = PartitionReader(config)
        self._spool = Spool(config, self._subject.usecase, dry_run=dry_run)

    @property
    def unreadable(self) -> dict[str, str]:
        return dict(self._reader.unreadable)

    def erase(self) -> None:
        """Remove the events, or find them in a dry run.

        Raises:
            ServiceError: events of the subject keep arriving, or the log does not respond.
            DataError, OSError: a file cannot be rewritten.
        """
        for _ in range(_MOST_PASSES):
            known = len(self._traces)
            if not self._pass() or (self._dry_run and len(self._traces) == known):
                return
        raise ServiceError(
            f"events of the subject keep arriving in the log of {self._subject.usecase}: have its callers stop, and "
            "run the same command again."
        )

    def _pass(self) -> int:
        """Take a pass; returns how many events and lines of the subject it found."""
        self._reader.unreadable.clear()
        found, bad = 0, 0
        for stream in STREAMS:
            # The spool first: what the shipper moves meanwhile is found in both, never in neither.
            spooled = self._spool.erase(stream, self._matcher(stream), partial(self._note, stream))
            bad += sum(not event.id for event in spooled)
            found += sum(bool(event.id) for event in spooled)
            for at in self._reader.partitions(stream, self._subject.usecase):
                bad += rewrite_bad_lines(self._reader, at, self._matcher(stream), dry_run=self._dry_run)
                found += self._erase_partition(at)
        self.bad_lines = bad if self._dry_run else self.bad_lines + bad
        return found + bad

    def _erase_partition(self, at: Partition) -> int:
        named = named_by(at.stream, self._subject, self._traces)
        where = " OR ".join(among(f"slipway.{name}", sorted(values)) for name, values in named.items()) or "false"
        events = [_event(*row) for row in self._reader.query(at, [*at.files], _SELECTED[at.stream], where)]
        self._note(at.stream, events)
        if not self._dry_run:
            remove_leftovers(self._reader, at)
            if events:
                rewrite(self._reader, at, {event.id for event in events})
        return len(events)

    def _matcher(self, stream: str) -> LineMatcher:
        return LineMatcher(stream, self._subject, self._traces)

    def _note(self, stream: str, events: Sequence[Event]) -> None:
        known = len(self._traces)
        self._traces.add(stream, [event for event in events if event.id])
        if len(self._traces) > known:
            self._journal.save()


def _event(id: str, day: str = "", *fields: Any) -> Event:
    """An event out of the selected columns; a label has its id alone."""
    if not fields:
        return Event(id)
    row_id, key, row_key, features = fields
    return Event(id, day, row_id, key, row_key, images_in(logged_features(features)))
