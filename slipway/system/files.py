"""Files that appear complete or not at all: written as a draft in the same folder, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from slipway.errors import DamagedFile

T = TypeVar("T")
MOST_BYTES = 16 << 20  # of a JSON file: far more than any that Slipway writes


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Make a file or a directory entry outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, *, durable: bool = True, mode: int | None = None, unique: bool = True) -> Iterator[Path]:
    """Give a draft to write, which replaces the file at the end of the block; after an error it is removed.

    Args:
        durable: the file outlasts a power cut (fsync before the rename and after it).
        mode: permissions of the file, less the umask; the draft then exists already, empty.
        unique: two writers at once do not meet in one draft. Without it the draft of a writer that was killed is
            overwritten by the next one, where a unique one would stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = f".{os.getpid()}-{secrets.token_hex(4)}" if unique else ""
    draft = path.with_name(f".{path.name}{token}.tmp")
    try:
        if mode is not None:
            draft.unlink(missing_ok=True)
            draft.touch(mode, exist_ok=False)
        yield draft
        if durable:
            sync(draft)
        draft.replace(path)
        if durable:
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = True, mode: int | None = None) -> None:
    """Write a file atomically: readers get the old content or the new one. Raises OSError."""
    with replacing(path, durable=durable, mode=mode) as draft:
        draft.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = True, mode: int | None = None) -> None:
    """Write text in UTF-8 atomically. Raises OSError."""
    write_bytes(path, content.encode(), durable=durable, mode=mode)


def write_json(path: Path, content: Any, *, durable: bool = True) -> None:
    """Write what msgspec can encode as JSON, on one line, atomically. Raises OSError."""
    write_bytes(path, msgspec.json.encode(content), durable=durable)


def create_once(path: Path, content: str) -> None:
    """Write a private file (mode 600) atomically, unless another process has made it first. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    draft.touch(0o600, exist_ok=False)
    try:
        draft.write_text(content)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def remove_drafts(folder: Path, name: str = "*", *, older_than: float = 0.0) -> None:
    """Remove what killed writers of the file `name` left in the folder, where it is `older_than` seconds or more."""
    with contextlib.suppress(OSError):
        for draft in folder.glob(f".{name}.*.tmp"):
            if time.time() - draft.stat().st_mtime >= older_than:
                draft.unlink(missing_ok=True)


def read_struct(path: Path, kind: type[T]) -> T | None:
    """Read what `write_json` wrote; None if there is no such file.

    Raises:
        DamagedFile: there is something else, or it cannot be read.
    """
    try:
        return msgspec.json.decode(read_regular(path), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DamagedFile(f"{path} is not what Slipway writes there ({reason}): remove it.") from None


class IrregularFile(OSError):
    """A pipe, a device or a socket where a regular file belongs."""


def open_regular(path: Path, *, follow_link: bool = True) -> BinaryIO:
    """Open a regular file; without O_NONBLOCK, a named pipe in its place would hold up the reader.

    Raises:
        OSError: it cannot be opened; IrregularFile where there is no regular file.
    """
    extra = os.O_NONBLOCK if follow_link else os.O_NONBLOCK | os.O_NOFOLLOW
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra))  # noqa: SIM115, for the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise IrregularFile(errno.EINVAL, "it is no regular file", str(path))
    return file


def read_regular(path: Path, most_bytes: int = MOST_BYTES, *, follow_link: bool = True) -> bytes:
    """Read a regular file of limited size.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is too large.
    """
    with open_regular(path, follow_link=follow_link) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes} bytes, which are the most that it may have")
    return content
