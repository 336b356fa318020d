"""Where the log lies: a folder or a bucket, and the same to whoever writes and reads it.

Files have names relative to SLIPWAY_LOG_URL, with slashes. Each is there whole or not at all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from slipway.contracts.bundle.manifest import sync
from slipway.storage.s3 import SCHEME, Bucket

if TYPE_CHECKING:
    from slipway.settings import Settings


class Place(Protocol):
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


def place(settings: Settings) -> Place:
    root = settings.log_root
    return Bucket(root, settings.var) if root.startswith(SCHEME) else Folder(root)


class Folder:
    """A folder of this machine, or of a volume that is mounted. What is there outlasts a power cut."""

    def __init__(self, path: str) -> None:
        self.url = path
        self._path = Path(path)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in (self._path / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def has(self, name: str) -> bool:
        return (self._path / name).is_file()

    def read(self, name: str) -> bytes:
        with open(self._path / name, "rb", opener=_no_link) as file:
            return file.read()

    def local(self, names: Sequence[str]) -> list[Path]:
        return [self._path / name for name in names]

    @contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        path = self._path / name
        with _settled(path, path.with_name(f".{path.name}.tmp")) as draft:
            yield draft

    def put(self, name: str, content: bytes) -> None:
        path = self._path / name
        with _settled(path, path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")) as draft:
            draft.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


def _no_link(path: str, flags: int) -> int:
    """Nobody who can write a name into the log can have another file read by it."""
    return os.open(path, flags | os.O_NOFOLLOW)


@contextmanager
def _settled(path: Path, draft: Path) -> Iterator[Path]:
    """The draft takes the file's name once it is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)
