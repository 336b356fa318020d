"""What lies on disk for one use case: bundles in the store, the lock for loading, and what served last."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.settings import Settings
from slipway.system import files

_DIGEST_LENGTH = 64


class LocalState:
    def __init__(self, settings: Settings, usecase: str) -> None:
        self._settings = settings
        self._usecase = usecase
        self._folder = settings.serving / usecase
        self._last_good = self._folder / "served.json"

    def stored(self, digest: str) -> Path:
        """Where the bundle lies; raises BundleError for what is no digest, so that no name leads out of the store."""
        if len(digest) != _DIGEST_LENGTH or not set(digest) <= set("0123456789abcdef"):
            raise BundleError(f"the pointer names {digest!r}, which is not a digest.")
        return self._settings.store / digest

    def version(self, digest: str) -> str | None:
        with contextlib.suppress(BundleError):
            found = desired.stored_version(self.stored(digest))
            return found.version if found else None
        return None

    def pointer_stamp(self) -> tuple[int, int] | None:
        """Changes with every write of the pointer; None where there is none. One system call."""
        try:
            found = desired.pointer_path(self._settings.serving, self._usecase).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    @property
    def packaged(self) -> Path | None:
        """The bundle that the image brought along."""
        folder = self._settings.packaged / self._usecase if self._settings.packaged else None
        return folder if folder and folder.is_dir() else None

    def last_good(self) -> str | None:
        """The digest that a worker took last: what to serve where a worker starts and the pointer's is refused."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._last_good.read_bytes(), type=str)
        return None

    def remember_good(self, digest: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep a model from serving
            files.write_json(self._last_good, digest)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold this machine's lock for loading the use case; the kernel frees it when a worker dies.

        On a volume that cannot be written there is none: then workers load when they like.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                lock = held.enter_context((self._folder / "swap.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
