"""An object store in a folder of this machine, or of a volume that is mounted."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.system.files import sync

if TYPE_CHECKING:
    pass


class LocalStore:
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
        with _replacing(path, path.with_name(f".{path.name}.tmp")) as draft:
            yield draft

    def put(self, name: str, content: bytes) -> None:
        path = self._path / name
        with _replacing(path, path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")) as draft:
            draft.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


def _no_link(path: str, flags: int) -> int:
    """Nobody who can write a name into the log can have another file read by it."""
    return os.open(path, flags | os.O_NOFOLLOW)


@contextmanager
def _replacing(path: Path, draft: Path) -> Iterator[Path]:
    """The draft takes the file's name once it is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)
