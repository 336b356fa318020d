"""Local state of one use case on this machine: stored bundles, the lock for loading, and what served last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.settings import Settings
from slipway.system import files, locks

_DIGEST_LENGTH = 64


class LocalState:
    """Reads and writes the use case's files under the store and the serving folder."""

    def __init__(self, settings: Settings, usecase: str) -> None:
        self._settings = settings
        self._usecase = usecase
        self._folder = settings.serving / usecase
        self._last_good = self._folder / "served.json"

    def stored(self, digest: str) -> Path:
        """Return the bundle's directory. Raises BundleError for anything but a digest: no name may leave the store."""
        if len(digest) != _DIGEST_LENGTH or not set(digest) <= set("0123456789abcdef"):
            raise BundleError(f"the pointer names {digest!r}, which is not a digest.")
        return self._settings.store / digest

    def version(self, digest: str) -> str | None:
        """Return the stored bundle's version; None where it is unknown."""
        with contextlib.suppress(BundleError):
            found = desired.stored_version(self.stored(digest))
            return found.version if found else None
        return None

    def pointer_stamp(self) -> tuple[int, int] | None:
        """Return what changes with every write of the pointer; None without a pointer. Costs one system call."""
        try:
            found = desired.pointer_path(self._settings.serving, self._usecase).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    @property
    def packaged(self) -> Path | None:
        """The directory of the bundle that the image holds; None where it holds none."""
        folder = self._settings.packaged / self._usecase if self._settings.packaged else None
        return folder if folder and folder.is_dir() else None

    def last_good(self) -> str | None:
        """Return the digest that a worker loaded last: the fallback of one that starts under a refused pointer."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._last_good.read_bytes(), type=str)
        return None

    def remember_good(self, digest: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep a model from serving
            files.write_json(self._last_good, digest)

    @contextmanager
    def loading_lock(self) -> Iterator[None]:
        """Hold this machine's lock for loading the use case; the kernel frees it when a worker dies.

        A volume that cannot be written has no lock: workers then load at the same time.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                held.enter_context(locks.exclusive(self._folder / "swap.lock"))
            yield
