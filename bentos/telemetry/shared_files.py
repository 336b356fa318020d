"""Files in which the workers of a server share their metrics: prometheus_client's multi-process mode.

Nothing about them ends a worker or fails a scrape: what cannot be read is left out, and a worker that cannot have files
counts in memory.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

from bentos.telemetry import dead_workers
from bentos.telemetry.merged_metrics import MERGED_BY, MergedMetrics
from bentos.telemetry.metrics_file import MetricsFile, kind_of
from bentos.telemetry.reserved_file import ReservedFile, reserve

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_log = logging.getLogger("slipway.serving")


class SharedFiles:
    """The metrics of all workers as one, from the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, MetricsFile] = {}
        self._damaged: set[Path] = set()
        self._merged = MergedMetrics([])
        self._lock = threading.Lock()

    def text(self, usecases: Collection[str] | None = None) -> bytes:
        """Return the text of some use cases, or of all, as `/metrics` has it."""
        with self._lock:
            known, self._files = self._files, {}  # if this raises, the next scrape begins with no file
            files, changed = self._read_unchanged(known)
            if changed or files.keys() != known.keys():
                self._merged = MergedMetrics(list(files.values()))
            self._files = files
            return self._merged.text(usecases)

    def _read_unchanged(self, known: Mapping[Path, MetricsFile]) -> tuple[dict[Path, MetricsFile], bool]:
        """Read until no counts of a dead worker have moved to another file meanwhile."""
        changed, before = False, None
        while before != (before := dead_workers.state(self._folder)):
            files, others = self._read(known)
            changed |= others
        return files, changed

    def _read(self, known: Mapping[Path, MetricsFile]) -> tuple[dict[Path, MetricsFile], bool]:
        """Read the values of all files, and return these, and whether one has other series than before."""
        files, damaged, moved, changed = {}, set(), set[Path](), False
        for path in self._paths():
            file = known.get(path) or MetricsFile(path)
            try:
                changed |= file.read()
                moved |= dead_workers.taken_in(path)
                files[path] = file
            except FileNotFoundError:
                continue  # of a worker that was forgotten just now
            except Exception:  # whatever a damaged file makes of it
                damaged.add(path)
        for path in damaged - self._damaged:
            _log.error("the metrics of a worker are left out, for %s is damaged. Restart the server to renew it.", path)
        self._damaged = damaged
        return {path: file for path, file in files.items() if path not in moved}, changed

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.db") if kind_of(path) in MERGED_BY and path.is_file())


def prepare() -> SharedFiles | None:
    """Make this process's files, and return those of all workers; None where its metrics stay in memory."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    try:
        with dead_workers.locked(Path(folder)):
            for kind in MERGED_BY:
                _make(Path(folder, f"{kind}_{os.getpid()}.db"))
    except OSError as error:
        _log.error(
            "this worker counts in memory, and `/metrics` shows only the worker that responds: %s takes no file (%s). "
            "Free space on that volume, and restart the server.",
            folder,
            error.strerror,
        )
        values.ValueClass = values.MutexValue
        return None
    values.MmapedDict = ReservedFile
    return SharedFiles(Path(folder))


def forget_dead_workers() -> None:
    """Remove the gauges of killed workers, and add up their counters, which stay in the sums."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    pids = {path.stem.rpartition("_")[2] for path in Path(folder).glob("gauge_live*_*.db")}
    for pid in pids:
        if pid.isdigit() and not Path("/proc", pid).exists():
            mark_process_dead(int(pid))
    try:
        with dead_workers.locked(Path(folder)):
            dead_workers.combine(Path(folder))
    except Exception as error:  # all counts stay where they are
        _log.warning("the metrics of killed workers stay in files of their own: %s.", error)


def _make(path: Path) -> None:
    """Make a file of this process; one of an earlier process with its id goes on, unless it is damaged."""
    if path.exists() and not _is_whole(path):
        path.unlink()
    reserve(path)


def _is_whole(path: Path) -> bool:
    """Tell whether a file can be read to its end, and written on."""
    try:
        MetricsFile(path).read()
    except Exception:  # whatever a damaged file makes of it
        return False
    return True
