"""Memory-mapped file of metrics with disk blocks for all of it: a write without one kills the process (SIGBUS)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

_RESERVED_BYTES = 256 << 10  # for some 1,500 series
_ENTRY_BYTES = 40  # of a series beside its key, at most: length and padding of the key, value and time
_log = logging.getLogger("slipway.serving")


def reserve(path: Path) -> None:
    """Allocate the blocks of a file. Raises OSError where that cannot be."""
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, _RESERVED_BYTES)


class ReservedFile(MmapedDict):
    """The values of a process by series; one for which there is no room stays in memory, and is not shared."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        super().__init__(filename, read_mode)
        self._unshared: dict[str, tuple[float, float]] = {}

    def read_value(self, key: str) -> tuple[float, float]:
        if key not in self._positions and key not in self._unshared and not self._has_room(key):
            self._unshared[key] = 0.0, 0.0
        return self._unshared[key] if key in self._unshared else super().read_value(key)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if key in self._unshared:
            self._unshared[key] = value, timestamp
        else:
            super().write_value(key, value, timestamp)

    def _has_room(self, key: str) -> bool:
        """Tell whether the series fits, after the file has grown if need be."""
        if self._used + len(key.encode()) + _ENTRY_BYTES > self._capacity:
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
