"""Log lines in the spool, from which the shipper takes them to Elasticsearch: the same segments as events have."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway.prediction_log import Writer, segments

FOLDER = "_service"  # beside the use cases' folders, none of which begins so
STREAM = "service"
MOST_BYTES = 256 << 20  # of waiting lines; while nobody ships them, more would take the room of predictions
_TURN_SECONDS = 5.0


class SpoolHandler(logging.Handler):
    """Writes records as lines of the current segment. A timer closes it, so that the last lines move on, too."""

    def __init__(self, spool: Path, segment_seconds: float) -> None:
        super().__init__()
        self._spool = spool
        self._writer = Writer(spool, FOLDER, STREAM, segment_seconds=segment_seconds)
        self._thread = threading.local()
        self._stop = threading.Event()
        self._is_full = False
        threading.Thread(target=self._rotate, name="log-lines", daemon=True).start()

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what the writer itself logs, before a lock is taken: it holds its own."""
        return not getattr(self._thread, "writes", False) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_full:
            return
        try:
            with self._writing():
                self._writer.write(self.format(record).encode(errors="replace"))
        except Exception:  # no log line may fail what it is about
            self.handleError(record)

    def close(self) -> None:
        """Complete the segment; later records are written by other handlers only."""
        self._stop.set()
        with self._writing():
            self._writer.close()
        super().close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._thread.writes = True
        try:
            yield
        finally:
            self._thread.writes = False

    def _rotate(self) -> None:
        while not self._stop.wait(_TURN_SECONDS):
            with self._writing():
                self._writer.rotate_if_due()
            self._is_full = _waiting_bytes(self._spool) > MOST_BYTES


def _waiting_bytes(spool: Path) -> int:
    """Sum what waits, of all processes; 0 where the folder is none."""
    waiting = 0
    with suppress(OSError):
        for segment in segments(spool, FOLDER):
            with suppress(FileNotFoundError):  # it was completed or shipped meanwhile
                waiting += segment.path.stat().st_size
    return waiting
