"""Opens files as they are or compressed: gzip, bzip2, xz, zstd, or an archive (zip, tar) of one file.

The content says which, not the name: a download is named by its checksum.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from slipway.errors import DataError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
_BLOCK_OR_END_OF_BZIP2 = (b"1AY&SY", b"\x17rE8P\x90")
_OF_FINDER = ("._", ".DS_Store")  # macOS puts them into archives
_LONGEST_MAGIC = 10
_DAMAGED = (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


@contextmanager
def opened(path: Path, origin: str = "") -> Iterator[IO[bytes]]:
    """Open a file's content, decompressed; `origin` is what messages call the file.

    Raises:
        DataError: the file is cut off or damaged, or an archive of no file or several.
        OSError: there is no such file.
    """
    origin = origin or str(path)
    with path.open("rb") as file:
        start = file.read(_LONGEST_MAGIC)
        file.seek(0)
        decompress = _decompressor(path, start, origin)
        if decompress is None:
            yield file
            return
        try:
            with decompress(file) as content:
                yield content
        except _DAMAGED as error:
            raise DataError(
                f"{origin} is compressed, and cut off or damaged: {error}. Fetch or compress it again."
            ) from None


def plain_suffix(path: Path) -> str:
    """Return the file's suffix in lower case without that of a compression: `.csv` of `rows.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in SUFFIXES:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def _decompressor(path: Path, start: bytes, origin: str) -> Callable[[Any], Any] | None:
    if _is_tar(path):
        return lambda file: _only_file_of_tar(file, origin)
    if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
        return lambda file: _only_file_of_zip(file, origin)
    if start.startswith(b"BZh") and start.endswith(_BLOCK_OR_END_OF_BZIP2):  # `BZh` alone may begin a text
        return bz2.open
    by_magic: dict[bytes, Callable[[Any], Any]] = {
        b"\x1f\x8b": gzip.open,
        b"\xfd7zXZ\x00": lzma.open,
        b"\x28\xb5\x2f\xfd": _zstd,
    }
    return next((opener for magic, opener in by_magic.items() if start.startswith(magic)), None)


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except _DAMAGED:
        return False


@contextmanager
def _only_file_of_zip(file: IO[bytes], origin: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive:
        names = [one.filename for one in archive.infolist() if not one.is_dir()]
        with archive.open(_only(names, origin)) as content:
            yield content


@contextmanager
def _only_file_of_tar(file: IO[bytes], origin: str) -> Iterator[IO[bytes]]:
    with tarfile.open(fileobj=file) as archive:
        content = archive.extractfile(_only([one.name for one in archive.getmembers() if one.isfile()], origin))
        yield content or io.BytesIO()


def _only(found: list[str], origin: str) -> str:
    names = [name for name in found if not Path(name).name.startswith(_OF_FINDER)]
    if len(names) != 1:
        raise DataError(
            f"{origin} is an archive of {len(names)} files ({', '.join(names[:5])}); one is needed. "
            "Unpack it and name one of them; save a workbook as CSV."
        )
    return names[0]


def _zstd(file: IO[bytes]) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(file, "zstd")
