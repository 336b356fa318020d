"""Writes the prediction log: lines reach the page cache before the response is sent.

Standard library only: this runs in the server, for every prediction.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from slipway.prediction_log.jsonl import count
from slipway.prediction_log.segments import complete, create
from slipway.system.descriptors import ReservedDescriptor
from slipway.system.repeated_errors import RepeatedErrors

SYNC_SECONDS = 1.0
_log = logging.getLogger("slipway.prediction_log")


class Writer:
    """Writer of a use case's current segment of one stream; each process has its own.

    >>> writer = Writer(Path("var/spool"), "digits", "prediction")
    >>> writer.write(b'{"event":{"id":"..."}}\\n')
    True

    `lost` counts the lines that `write` could not keep. A descriptor is kept in reserve for the next segment.
    """

    def __init__(
        self,
        spool: Path,
        usecase: str,
        stream: str,
        segment_bytes: int = 16 * 2**20,
        segment_seconds: float = 15.0,
    ) -> None:
        self.lost = 0
        self._folder = Path(spool) / usecase
        self._stream = stream
        self._limits = (segment_bytes, segment_seconds)
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._reserve = ReservedDescriptor()
        self._path = self._folder
        self._size = 0
        self._opened = 0.0
        self._failing = False
        self._removed = 0
        self._finished: list[tuple[int, Path]] = []
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_in_groups, name=f"log-sync-{stream}", daemon=True)
        self._syncer.start()

    def write(self, lines: bytes) -> bool:
        """Append complete lines, all or none, in one system call; returns False if they are not in the log.

        When this returns True the lines outlive the process; they outlive the machine after the next sync,
        within about a second. A full disk is an answer, not an exception.
        """
        if not lines.endswith(b"\n"):
            lines += b"\n"
        with self._lock:
            if self._append(lines):
                if not self._dirty.is_set():
                    self._dirty.set()
                return True
            self.lost += lines.count(b"\n")
            return False

    def rotate_if_due(self) -> int:
        """Complete the segment when it is large or old enough; for a timer, so that the last lines before a quiet
        time move on as well. Returns at once: the sync and the renaming follow in the writer's thread.

        A segment that somebody has removed is left for a new one. The result is how many lines were lost with such
        since the last call.
        """
        with self._lock:
            if self._descriptor is not None and _is_removed(self._descriptor):
                self._rotate()
            self._rotate_if_due()
            removed, self._removed = self._removed, 0
            return removed

    def close(self) -> None:
        """Sync and complete the current segment. A later `write` returns False."""
        with self._lock:
            if self._closing.is_set():
                return
            self._rotate()
            self._closing.set()
            self._dirty.set()
            self._reserve.close()
        self._syncer.join()

    def _append(self, lines: bytes) -> bool:
        try:
            self._rotate_if_due()
            descriptor = self._open() if self._descriptor is None else self._descriptor
            if os.write(descriptor, lines) == len(lines):
                self._size += len(lines)
                self._failing = False
                return True
            self._fail("the disk took a part of it")
        except OSError as error:
            self._fail(error)
        self._take_back()
        return False

    def _fail(self, reason: object) -> None:
        if not self._failing:  # a full disk fails every line: say it once
            _log.error("%s lines of %s are being lost: %s", self._stream, self._folder, reason)
        self._failing = True

    def _open(self) -> int:
        if self._closing.is_set():
            raise OSError("the log is closed")
        self._descriptor, self._path = self._reserve.opening(partial(create, self._folder, self._stream))
        self._size = 0
        self._opened = time.monotonic()
        return self._descriptor

    def _take_back(self) -> None:
        """Truncate a failed or partial write: no line may follow a cut one. What failed may be this file alone
        (its size limit, a bad block), so the next line tries a new one."""
        if self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            _log.error("%s ends with a cut line: %s", self._path, error)
            self._rotate()
        else:
            if self._size:
                self._rotate()

    def _rotate_if_due(self) -> None:
        if self._descriptor is None:
            return
        size, seconds = self._limits
        if self._size >= size or time.monotonic() - self._opened >= seconds:
            self._rotate()

    def _rotate(self) -> None:
        if self._descriptor is None:
            return
        if _is_removed(self._descriptor):
            self._count_removed(self._descriptor)
        else:
            self._finished.append((self._descriptor, self._path))
            self._dirty.set()
        self._descriptor = None

    def _count_removed(self, descriptor: int) -> None:
        """Count the lines of a removed segment as lost, and close it: the kernel has kept them until now."""
        lines = 0
        try:
            with Path(f"/proc/self/fd/{descriptor}").open("rb") as segment:
                lines = count(segment)
        except OSError:
            _log.error("the removed segment %s cannot be counted", self._path)
        finally:
            os.close(descriptor)
        self.lost += lines
        self._removed += lines
        _log.error("%s was removed while it was written: %d lines of %s are lost", self._path, lines, self._stream)

    def _sync_in_groups(self) -> None:
        """Sync all lines of a second at once: after hundreds of MB a sync can take 0.2 s, too long for a response."""
        errors = RepeatedErrors(_log, f"syncing the {self._stream} log")
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            with errors.logged():
                self._sync()
            self._closing.wait(SYNC_SECONDS)
        self._sync()

    def _sync(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
            current = self._duplicate()
        for descriptor, path in finished:
            _sync_and_close(descriptor, partial(complete, path))
        if current is not None:
            _sync_and_close(current)

    def _duplicate(self) -> int | None:
        """Duplicate the segment's descriptor, to sync it outside of the lock; where none is left, a later time does."""
        try:
            return os.dup(self._descriptor) if self._descriptor is not None else None
        except OSError:
            self._dirty.set()
            return None


def _is_removed(descriptor: int) -> bool:
    return os.fstat(descriptor).st_nlink == 0


def _sync_and_close(descriptor: int, then: Callable[[], None] = lambda: None) -> None:
    """What is on the disk leaves the page cache, too: it is read once, by the shipper, and would push out what is read
    often. The next lines get the pages that are free again, which costs a tenth of a request less than other ones."""
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        then()
    except OSError as error:
        _log.error("a segment of the prediction log could not be synced and completed: %s", error)
    finally:
        os.close(descriptor)
