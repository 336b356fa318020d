"""The segments in this machine's spool without a subject's events.

A segment that is complete is rewritten while the shipper waits, under another name: what a sink remembers of the old
one does not fit the new one. One that a server writes is completed by its timer, and rewritten then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.subject import Event
from monitoring.log_shipping import checkpoints
from monitoring.log_shipping.shipper import LOCK
from slipway.errors import ServiceError
from slipway.prediction_log import Segment, adopt_orphans, segments
from slipway.prediction_log.segments import COMPLETE, open_lines
from slipway.settings import Settings
from slipway.system import locks
from slipway.system.files import open_regular, remove_drafts, replacing

Note = Callable[[Sequence[Event]], None]
_PAUSE_SECONDS = 0.5
_MORE_SECONDS = 10.0  # than two rotations, for a server that is busy


class Spool:
    """The spool of a use case on this machine."""

    def __init__(self, config: Settings, usecase: str, *, dry_run: bool = False) -> None:
        self._folder = config.spool / usecase
        self._spool = config.spool
        self._usecase = usecase
        self._wait_seconds = 2 * config.segment_seconds + _MORE_SECONDS
        self._dry_run = dry_run

    def erase(self, stream: str, matcher: LineMatcher, note: Note) -> list[Event]:
        """Rewrite segments without the subject's lines; `note` gets their events before. Returns these.

        Raises:
            ServiceError: a server does not complete a segment that has some.
        """
        deadline, erased = time.monotonic() + self._wait_seconds, list[Event]()
        while self._folder.is_dir():
            is_open = self._pass(stream, matcher, note, erased)
            if not is_open:
                break
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{is_open.path} has events of the subject, and its server does not complete it. Stop the server, "
                    "or wait, and run the same command again."
                )
            time.sleep(_PAUSE_SECONDS)
        return erased

    def _pass(self, stream: str, matcher: LineMatcher, note: Note, erased: list[Event]) -> Segment | None:
        """Rewrite the complete segments; returns an open one that has events of the subject."""
        is_open = None
        with locks.exclusive(self._spool / LOCK):
            remove_drafts(self._folder)
            adopt_orphans(self._spool, self._usecase)
            for segment in segments(self._spool, self._usecase, stream):
                events = _events(segment, matcher)
                if not events:
                    continue
                note(events)
                if not (self._dry_run or segment.complete):
                    is_open = segment
                    continue
                if not self._dry_run:
                    _rewrite(segment, matcher)
                erased += events
        return is_open


def _events(segment: Segment, matcher: LineMatcher) -> list[Event]:
    file = open_lines(segment)
    if file is None:
        return []
    with file:
        return [event for line in file if (event := matcher.event(line))]


def _rewrite(segment: Segment, matcher: LineMatcher) -> None:
    head = segment.stem.rpartition("-")[0]
    token = hashlib.sha256(segment.stem.encode()).hexdigest()[:8]
    new = replace(segment, path=segment.path.with_name(f"{head}-{token}{COMPLETE}"))
    # Before it appears: of the old one, Elasticsearch may have a part, so the new one is compared until it is new.
    checkpoints.write(new, 0)
    with (
        open_regular(segment.path) as lines,
        replacing(new.path, unique=False, mode=0o640) as draft,
        draft.open("wb") as rest,
    ):
        rest.writelines(line for line in lines if not matcher.event(line))
    for gone in (segment, *([] if new.path.stat().st_size else [new])):
        gone.path.unlink()
        checkpoints.remove(gone)
