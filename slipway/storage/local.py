"""Object store in a folder of this machine, or of a mounted volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from slipway.system.files import replacing, write_bytes


class LocalStore:
    """The objects below a folder. What was written outlasts a power cut."""

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

    def draft(self, name: str) -> AbstractContextManager[Path]:
        return replacing(self._path / name, unique=False)

    def put(self, name: str, content: bytes) -> None:
        write_bytes(self._path / name, content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


def _no_link(path: str, flags: int) -> int:
    """Open a file but no link, so that nobody who can write a name into the store can have another file read."""
    return os.open(path, flags | os.O_NOFOLLOW)
