"""File descriptors: the limit of this process, and one kept in reserve for a file that must always be opened."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MOST = 65_536  # a higher limit gains nothing here, and some programs loop over all of it
_NONE_LEFT = (errno.EMFILE, errno.ENFILE)


def raise_limit() -> tuple[int, int]:
    """Raise the soft limit to the hard one, but not above MOST; returns the soft limit before and now."""
    soft, hard = (MOST if value == resource.RLIM_INFINITY else value for value in _limits())
    wanted = min(hard, MOST)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, _limits()[1]))
            return soft, wanted
    return soft, soft


def count_open() -> int:
    """Count the descriptors that this process has open; where the system does not tell (macOS), guess."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 64


class ReservedDescriptor:
    """A descriptor that is given up for a file that must be opened when none is left, and taken back later."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._take()

    def opening(self, open_file: Callable[[], T]) -> T:
        """Return what `open_file` returns; if no descriptor is left, it gets the one in reserve. Raises OSError."""
        if self._descriptor is None:
            self._take()
        try:
            return open_file()
        except OSError as error:
            if error.errno not in _NONE_LEFT or self._descriptor is None:
                raise
            self.close()
            return open_file()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Do without the reserve for the length of the block, in which a file must be opened."""
        self.close()
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        """Give the descriptor up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            self._descriptor = os.open(os.devnull, os.O_RDONLY)


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
