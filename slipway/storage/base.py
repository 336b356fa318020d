"""Interface of the object store under SLIPWAY_LOG_URL: a folder or a bucket.

Objects have names relative to it, with slashes. Each is there completely or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

MOST_BYTES = 64 << 20  # of an object that is read whole: far more than any verdict, page or line of the audit has


class ObjectStore(Protocol):
    """An object store. A remote one raises ServiceError if it does not respond, one of this machine OSError."""

    url: str

    def names(self, folder: str) -> list[str]:
        """List what is directly in a folder, in order; nothing if there is no such folder."""

    def has(self, name: str) -> bool:
        """Tell whether there is such an object."""
        ...

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """Give what changes with each write of an object, or in a folder; None where that costs as much as reading."""

    def read(self, name: str) -> bytes:
        """Read an object of at most MOST_BYTES. Raises FileNotFoundError."""

    def local(self, names: Sequence[str]) -> list[Path]:
        """Give files on this machine with the content of objects, which never change once they are written.

        Where there is no such object any more, there is no file.
        """

    def draft(self, name: str) -> AbstractContextManager[Path]:
        """Give a draft that becomes the object at the end of the block, for one process at a time per name."""

    def put(self, name: str, content: bytes) -> None:
        """Write an object, replacing the one that is there."""

    def remove(self, name: str) -> None:
        """Remove an object if there is one."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, if there is one."""
