"""Sources of raw rows: a file by path, a file by URL, or the use case's generator; files have a checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slipway.clients import http
from slipway.config import Source, UseCase, schema_builder
from slipway.errors import DataError, ServiceError
from slipway.settings import settings
from slipway.system import files
from slipway.system.files import file_sha256
from slipway.tables import csv_files, parquet_files

_TIMEOUT_SECONDS = 60
_MAX_BYTES = 1 << 40


@dataclass(frozen=True)
class RawData:
    """Unchecked rows. `origin` is for people: a path, a URL or a generator; `sha256` is None for generated rows."""

    frame: pd.DataFrame
    origin: str
    sha256: str | None
    synthetic: bool


def read(usecase: UseCase) -> RawData:
    """Read the use case's raw rows.

    Raises:
        DataError: no file and no generator, another checksum, or a file that is not what `source` says.
        ServiceError: the URL does not respond.
    """
    source = usecase.source
    if uses_generator(usecase):
        return _generate(usecase)
    path = _download(source) if source.url else Path(source.path or "")
    origin = source.url or str(path)
    digest = _check(path, origin, source.sha256)
    frame = _read_table(path, origin, usecase)
    return RawData(frame, origin, digest, synthetic=False)


def digest(usecase: UseCase) -> str:
    """Return the digest of the raw rows before they are read; generated ones follow from code and seed."""
    if uses_generator(usecase):
        return "generated"
    return usecase.source.sha256 if usecase.source.url else file_sha256(_existing(usecase.source))


def uses_generator(usecase: UseCase) -> bool:
    """Whether the generator makes the rows: no file or URL is named, or the file does not exist.

    A path that `--set` names must exist.
    """
    source = usecase.source
    if source.generator is None or source.url:
        return False
    return source.path is None or not (Path(source.path).exists() or "source.path" in usecase.overridden)


def _generate(usecase: UseCase) -> RawData:
    module, name = (usecase.source.generator or "").split(":")
    generator = usecase.function(module, name)
    origin = f"usecases/{usecase.name}/{module}.py:{name}"
    if generator is None:
        raise DataError(f"source.generator names {origin}, which does not exist. Write it, or name a path.")
    return RawData(generator(usecase.seed), origin, None, usecase.source.synthetic)


def _existing(source: Source) -> Path:
    path = Path(source.path or "")
    if not path.is_file():
        raise DataError(
            f"source.path: there is no file {str(path)!r} (relative to {Path.cwd()}). "
            "Put it there, or name another with --set source.path=FILE."
        )
    return path


def _check(path: Path, origin: str, expected: str | None) -> str:
    if not path.is_file():
        raise DataError(f"{origin} is not a file.")
    actual = file_sha256(path)
    if expected and actual != expected:
        raise DataError(
            f"{origin} has the SHA-256 {actual}, and source.sha256 expects {expected}. "
            "It is another file: get the expected one, or set source.sha256 to the new digest if it is right."
        )
    return actual


def _download(source: Source) -> Path:
    """Download the file of the URL into `var/downloads`, named by its checksum, so that it is fetched once."""
    url, expected = str(source.url), str(source.sha256)
    if not url.startswith(("https://", "http://")):
        raise DataError(f"source.url {url!r}: only https:// and http:// are fetched; give a file by source.path.")
    target = settings().var / "downloads" / expected
    if target.exists():
        return target
    with files.replacing(target) as draft:
        _fetch(url, draft)
        _check(draft, url, expected)
    return target


def _fetch(url: str, path: Path) -> None:
    try:
        with path.open("wb") as file:
            status = http.download(url, file, timeout=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES, follow_redirects=True)
    except ServiceError as error:
        raise _unavailable(url, str(error)) from None
    if status != 200:
        raise _unavailable(url, f"HTTP status {status}")


def _unavailable(url: str, reason: str) -> ServiceError:
    return ServiceError(f"{url} does not respond as expected: {reason}. Try again, or download it and set source.path.")


def _read_table(path: Path, origin: str, usecase: UseCase) -> pd.DataFrame:
    """Read CSV with every value as text, since the feature's kind decides what is missing or a number; or Parquet."""
    form = schema_builder.table_format(usecase)
    if form.format == "csv":
        return csv_files.frame(path, form, origin) if form.decoded else csv_files.text_frame(path, form, origin)
    try:
        return parquet_files.frame(path, origin)
    except DataError as error:
        raise DataError(f"{error} Set source.format if it is CSV.") from None
