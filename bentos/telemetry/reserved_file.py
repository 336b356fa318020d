"""Memory-mapped file of metrics with disk blocks for all of it: a write without one kills the process (SIGBUS)."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

from prometheus_client.mmap_dict import MmapedDict

_RESERVED_BYTES = 256 << 10  # for some 1,500 series
ENTRY_BYTES = 40  # of a series beside its key, at most: length and padding of the key, value and time
_log = logging.getLogger("slipway.serving")


def reserve(path: Path, size: int = _RESERVED_BYTES) -> None:
    """Allocate the blocks of a file. Raises OSError where that cannot be."""
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


class ReservedFile(MmapedDict):
    """The values of a process by series; one for which there is no room stays in memory, and is not shared.

    `opened` are the files of this process.
    """

    opened: ClassVar[WeakSet[ReservedFile]] = WeakSet()

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        super().__init__(filename, read_mode)
        self._unshared: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()  # the library has one of its own, which `forget` cannot take
        self.opened.add(self)

    def read_value(self, key: str) -> tuple[float, float]:
        with self._lock:
            self._make_room(key)
            return self._unshared[key] if key in self._unshared else super().read_value(key)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        with self._lock:
            self._make_room(key)
            if key in self._unshared:
                self._unshared[key] = value, timestamp
            else:
                super().write_value(key, value, timestamp)

    def forget(self, **labels: str) -> None:
        """Leave out the series that have these labels; on a full disk they stay.

        The file is replaced as a whole, so that nobody reads half of it.
        """
        texts = [json.dumps({name: value})[1:-1] for name, value in labels.items()]
        with self._lock:
            gone = {key for key in (*self._positions, *self._unshared) if all(text in key for text in texts)}
            for key in gone & self._unshared.keys():
                del self._unshared[key]
            kept = {key: super(ReservedFile, self).read_value(key) for key in self._positions if key not in gone}
            if len(kept) < len(self._positions):
                self._replace(kept)

    def _replace(self, kept: dict[str, tuple[float, float]]) -> None:
        draft = Path(f"{self._fname}.{os.getpid()}.new")
        try:
            reserve(draft, self._capacity)
            fresh = MmapedDict(str(draft))
            for key, (value, timestamp) in kept.items():
                fresh.write_value(key, value, timestamp)
            draft.replace(self._fname)
        except OSError as error:
            draft.unlink(missing_ok=True)
            _log.warning("%s keeps series that are no longer needed: %s.", self._fname, error.strerror)
            return
        self._f.close()
        self._f, self._m, self._capacity = fresh._f, fresh._m, fresh._capacity
        self._positions, self._used = fresh._positions, fresh._used

    def _make_room(self, key: str) -> None:
        """Have room for a series in the file, or keep it in memory."""
        if key not in self._positions and key not in self._unshared and not self._has_room(key):
            self._unshared[key] = 0.0, 0.0

    def _has_room(self, key: str) -> bool:
        """Tell whether the series fits, after the file has grown if need be."""
        if self._used + len(key.encode()) + ENTRY_BYTES > self._capacity:
            try:
                os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
            except OSError as error:
                if not self._unshared:
                    _log.error(
                        "%s cannot grow (%s): further series of this worker are not in `/metrics`. Free space on that "
                        "volume, and restart the server.",
                        self._fname,
                        error.strerror,
                    )
                return False
        return True
