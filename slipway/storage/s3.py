"""Object store in a bucket of S3, through pyarrow's file system, which is imported with the first request.

Credentials and address are found as every AWS client finds them: AWS_ACCESS_KEY_ID or a role, AWS_REGION,
AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import ServiceError
from slipway.storage.base import MOST_BYTES
from slipway.system.files import replacing

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

SCHEME = "s3://"
_CONNECT_SECONDS = 3.0
_ATTEMPTS = 3
_DOWNLOADS_AT_ONCE = 16
_BLOCK = 1 << 20
_UNUSED_SECONDS = 24 * 3600.0


class S3Store:
    """The objects below `s3://BUCKET/PREFIX`. An upload appears when it is complete, so a kill leaves no part of one.

    `local` copies to `VAR/cache/log`: an object is fetched once, and kept until it was not used for a day, or a listing
    lacks it.
    """

    def __init__(self, url: str, var: Path) -> None:
        self.url = url
        self._root = url.removeprefix(SCHEME)
        self._bucket = self._root.partition("/")[0]
        self._cache = var / "cache" / "log" / self._root
        self._drafts = var / "tmp" / "log" / self._root

    def names(self, folder: str) -> list[str]:
        from pyarrow.fs import FileSelector

        with self._explained():
            files = _files()
            found = files.get_file_info(FileSelector(self._at(folder), allow_not_found=True))
            if not found:
                self._refuse_no_bucket(files)
        names = sorted(info.base_name for info in found)
        self._remove_copies(folder, set(names))
        return names

    def has(self, name: str) -> bool:
        with self._explained():
            return _files().get_file_info(self._at(name)).is_file

    def stamp(self, name: str) -> tuple[int, ...] | None:
        return None

    def read(self, name: str) -> bytes:
        with self._explained():
            files = _files()
            try:
                with files.open_input_stream(self._at(name)) as file:
                    content = file.read(MOST_BYTES + 1)
            except FileNotFoundError:
                self._refuse_no_bucket(files)
                raise
        if len(content) > MOST_BYTES:
            raise ServiceError(
                f"{self.url}/{name} has more than {MOST_BYTES} bytes, which are the most that it may have"
            )
        return content

    def local(self, names: Sequence[str]) -> list[Path]:
        paths = [self._cache / name for name in names]
        for folder in {path.parent for path in paths}:
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        self._forget_unused()
        missing = [(name, path) for name, path in zip(names, paths, strict=True) if not path.exists()]
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            list(pool.map(lambda both: self._fetch_if_there(*both), missing))
        return paths

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        draft = self._drafts / name
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            self.put(name, draft.read_bytes())
        finally:
            draft.unlink(missing_ok=True)

    def put(self, name: str, content: bytes) -> None:
        # In one call: a block that ends early would close, and with that complete, an upload of a part.
        with self._explained(), _files().open_output_stream(self._at(name)) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        with self._explained(), suppress(FileNotFoundError):
            _files().delete_file(self._at(name))

    def remove_folder(self, name: str) -> None:
        with self._explained(), suppress(FileNotFoundError):
            _files().delete_dir(self._at(name))

    def _fetch_if_there(self, name: str, path: Path) -> None:
        """Fetch an object. What is removed meanwhile, or is a folder, costs no other: its file is not there."""
        with suppress(FileNotFoundError):
            self._fetch(name, path)

    def _fetch(self, name: str, path: Path) -> None:
        with (
            replacing(path, durable=False) as draft,
            self._explained(),
            _files().open_input_stream(self._at(name)) as source,
            draft.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, _BLOCK)

    def _remove_copies(self, folder: str, names: Collection[str]) -> None:
        """Remove copies of objects that are no longer in a folder: no machine keeps what was erased."""
        if not self._cache.is_dir():
            return
        for path in (self._cache / folder).glob("[!.]*"):
            if path.name not in names and path.is_file():
                path.unlink(missing_ok=True)

    def _forget_unused(self) -> None:
        for folder in self._cache.rglob("????-??-??"):
            if time.time() - folder.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _refuse_no_bucket(self, files: S3FileSystem) -> None:
        """Raise OSError if there is no such bucket, which would else pass for an empty log."""
        from pyarrow.fs import FileType

        if files.get_file_info(self._bucket).type == FileType.NotFound:
            raise OSError("AWS Error NO_SUCH_BUCKET")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of S3, or of the way to it, into a ServiceError that says what to set."""
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # of this machine's disk, or a file that is not there
                raise
            raise ServiceError(f"SLIPWAY_LOG_URL={self.url}: {self._remedy(str(error))}") from None

    def _remedy(self, message: str) -> str:
        code = found[1] if (found := re.search(r"AWS Error (\w+)", message)) else ""
        where = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        if code == "NO_SUCH_BUCKET":
            return f"there is no bucket {self._bucket} at {where}. Make it, or name another one."
        if code in _REFUSED:
            return (
                f"S3 at {where} refuses access to the bucket {self._bucket} ({code}). Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or give this process a role, that may list, read and write it."
            )
        if code in _SILENT:
            return (
                f"S3 at {where} does not respond for the bucket {self._bucket} ({code}). "
                "Check the network, AWS_ENDPOINT_URL and AWS_REGION."
            )
        return message


_REFUSED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "MISSING_AUTHENTICATION_TOKEN",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
)
_SILENT = ("NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE")


def _files() -> S3FileSystem:
    """The file system of an address, made once: a role's credentials are fetched once and refreshed."""
    return _file_system(
        os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    )


@lru_cache(maxsize=4)
def _file_system(endpoint: str | None, region: str | None) -> S3FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    return S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        connect_timeout=_CONNECT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # one request for a small file
        background_writes=False,
    )
