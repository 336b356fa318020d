"""Where the log lies: a folder or a bucket, and the same to whoever writes and reads it.

Files have names relative to SLIPWAY_LOG_URL, with slashes. Each is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Raises ServiceError where it is not on this machine and does not answer, OSError where it is and fails."""

    url: str

    def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, in order; nothing where there is no such folder."""

    def has(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    def local(self, names: Sequence[str]) -> list[Path]:
        """Files on this machine with the content of those, which never change once they are there."""

    def whole(self, name: str) -> AbstractContextManager[Path]:
        """A draft that becomes the file at the end of the block. One process at a time makes one of a name."""

    def put(self, name: str, content: bytes) -> None:
        """Leave the file, over what is there."""

    def remove(self, name: str) -> None:
        """Take the file away, where it is there."""
