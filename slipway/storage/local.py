"""Object store in a folder of this machine, or of a mounted volume."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from slipway.storage.base import MOST_BYTES
from slipway.system.files import read_regular, replacing, write_bytes


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

    def stamp(self, name: str) -> tuple[int, ...] | None:
        try:
            found = (self._path / name).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self, name: str) -> bytes:
        # Through a link, whoever can write a name into the store could have another file read.
        try:
            return read_regular(self._path / name, MOST_BYTES, follow_link=False)
        except ValueError as error:
            raise OSError(f"{self._path / name} cannot be read: {error}") from None

    def local(self, names: Sequence[str]) -> list[Path]:
        return [self._path / name for name in names]

    def draft(self, name: str) -> AbstractContextManager[Path]:
        return replacing(self._path / name, unique=False)

    def put(self, name: str, content: bytes) -> None:
        write_bytes(self._path / name, content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._path / name)
