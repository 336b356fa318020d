"""Local state of one use case on this machine: stored bundles, their loads, and what served last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bentos.models.load_journal import LoadJournal
from slipway.errors import BundleError
from slipway.inference import sandbox
from slipway.serving_state import desired, last_good
from slipway.settings import Settings
from slipway.system import files, locks, memory

_DIGEST_LENGTH = 64
_STALE_SECONDS = 60.0  # the draft of a writer that lives is replaced in less
MEMORY_SHARE = 0.8  # of what is available, for all workers together


Stamp = tuple[int, int]


class LocalState:
    """Reads and writes the use case's files under the store and the serving folder."""

    def __init__(self, settings: Settings, usecase: str) -> None:
        self._settings = settings
        self._usecase = usecase
        self._folder = settings.serving / usecase
        self._journal = LoadJournal(self._folder / "loads.json")

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

    def pointer_stamp(self) -> Stamp | None:
        """Return what changes with every write of the pointer; None without a pointer. Costs one system call."""
        return _stamp(desired.pointer_path(self._settings.serving, self._usecase))

    def bundle_stamp(self, digest: str) -> Stamp | None:
        """Return what changes when the bundle is stored anew, or its version is; None where it is not stored."""
        with contextlib.suppress(BundleError):
            return _stamp(self.stored(digest))
        return None

    @property
    def packaged(self) -> Path | None:
        """The directory of the bundle that the image holds; None where it holds none."""
        folder = self._settings.packaged / self._usecase if self._settings.packaged else None
        return folder if folder and folder.is_dir() else None

    def last_good(self) -> str | None:
        """Return the digest that a worker loaded last: the fallback of one that starts under a refused pointer."""
        return last_good.read(self._settings.serving, self._usecase)

    def remember_good(self, digest: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep a model from serving
            last_good.write(self._settings.serving, self._usecase, digest)

    def remove_drafts(self) -> None:
        """Remove the drafts of killed workers."""
        files.remove_drafts(self._folder, older_than=_STALE_SECONDS)

    @contextmanager
    def loading(self, digest: str, generation: int) -> Iterator[None]:
        """Hold this machine's lock for loading the use case; the kernel frees it when a worker dies.

        A volume that cannot be written has no lock: workers then load at the same time.

        Raises:
            BundleError: workers died while they loaded this bundle for this generation of the pointer.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                held.enter_context(locks.exclusive(self._folder / "swap.lock"))
            held.enter_context(self._journal.loading(digest, generation))
            yield

    def load_in_sandbox(self, digest: str) -> None:
        """Load the bundle in another process, once on this machine, with a worker's share of the memory that is left.

        Raises:
            BundleError: it needs more memory or time than there is, or cannot be loaded.
        """
        if self._journal.has_survived(digest):
            return
        available = memory.available_bytes()
        workers = self._settings.workers or len(os.sched_getaffinity(0))
        share = None if available is None else int(available * MEMORY_SHARE) // workers
        sandbox.require_survival(self.stored(digest), digest, share)
        self._journal.note_survival(digest)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
