"""Files in which the workers of a server share their metrics: prometheus_client's multi-process mode.

Nothing about them ends a worker or fails a scrape: what cannot be read is left out, and a worker that cannot have files
counts in memory.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Collection
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bentos.telemetry.merged_metrics import MERGED_BY, MergedMetrics
from bentos.telemetry.metrics_file import MetricsFile, kind_of
from bentos.telemetry.reserved_file import ReservedFile, reserve

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_log = logging.getLogger("slipway.serving")


class SharedFiles:
    """The metrics of all workers as one, from the files of a folder; for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, MetricsFile] = {}
        self._damaged: set[Path] = set()
        self._merged = MergedMetrics([])

    def text(self, usecases: Collection[str] | None = None) -> bytes:
        """Return the text of some use cases, or of all, as `/metrics` has it."""
        if self._read():
            self._merged = MergedMetrics(list(self._files.values()))
        return self._merged.text(usecases)

    def _read(self) -> bool:
        """Read the values of all files, and return whether there are other series than before."""
        known, self._files = self._files, {}
        changed, damaged = False, set()
        for path in self._paths():
            file = known.get(path) or MetricsFile(path)
            try:
                changed |= _read(file)
                self._files[path] = file
            except FileNotFoundError:
                continue  # of a worker that was forgotten just now
            except Exception:  # whatever a damaged file makes of it
                damaged.add(path)
        for path in damaged - self._damaged:
            _log.error("the metrics of a worker are left out, for %s is damaged. Restart the server to renew it.", path)
        self._damaged = damaged
        return changed or self._files.keys() != known.keys()

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.db") if kind_of(path) in MERGED_BY and path.is_file())


def _read(file: MetricsFile) -> bool:
    """Read a file, and return whether it has other series than before. Raises ValueError where prometheus_client cannot
    read it, and whatever else a damaged file makes of it."""
    changed = file.read()
    if changed and not _is_whole(file.path):
        raise ValueError(f"{file.path} is damaged")
    return changed


def prepare() -> SharedFiles | None:
    """Make this process's files, and return those of all workers; None where its metrics stay in memory."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    try:
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
    """Remove the gauges of killed workers; their counters stay in the sums."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    pids = {path.stem.rpartition("_")[2] for path in Path(folder).glob("gauge_live*_*.db")}
    for pid in pids:
        if pid.isdigit() and not Path("/proc", pid).exists():
            mark_process_dead(int(pid))


def _make(path: Path) -> None:
    """Make a file of this process; one of an earlier process with its id goes on, unless it is damaged."""
    if path.exists() and not _is_whole(path):
        path.unlink()
    reserve(path)


def _is_whole(path: Path) -> bool:
    """Tell whether a file can be read to its end, and written on."""
    try:
        with path.open("rb") as file:
            (used,) = struct.unpack("i", file.read(4))
        MultiProcessCollector.merge([path])
    except Exception:  # whatever a damaged file makes of it
        return False
    return 0 <= used <= path.stat().st_size
