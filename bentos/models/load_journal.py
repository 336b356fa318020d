"""Load journal of one use case on this machine: which bundles a worker began to load, and which survived a sandbox.

A worker that dies of a load cannot say so. It leaves its mark here, and the next one refuses the bundle, where it would
die of it, too. A new promotion is a new try.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipway.errors import BundleError, DamagedFile
from slipway.system import files

MOST_DEATHS = 2  # one may be the end of the machine or of the server, while it was loading
_KEPT = 8
_log = logging.getLogger("slipway.serving")


class LoadRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a bundle.

    `generation` is the pointer's at its last load; `open` is the number of loads that did not end, and `survived`
    whether it passed a sandboxed load.
    """

    generation: int
    open: int = 0
    survived: bool = False


class LoadJournal:
    """The journal's file, `loads.json`. Its user holds the lock for loading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def loading(self, digest: str, generation: int) -> Iterator[None]:
        """Keep a mark of the bundle for the length of the block, however it ends but with the process.

        Raises:
            BundleError: as many processes as may be ended while they loaded this bundle for this generation.
        """
        before = self._read().get(digest, LoadRecord(generation))
        if before.generation != generation:
            before = LoadRecord(generation, survived=before.survived)
        if before.open >= MOST_DEATHS:
            raise BundleError(
                f"{before.open} processes of this machine ended while they loaded it, perhaps for lack of memory: "
                "make the network smaller or give the server more memory, then promote it again."
            )
        self._write(digest, msgspec.structs.replace(before, open=before.open + 1))
        try:
            yield
        finally:
            self._write(digest, LoadRecord(generation, survived=self.has_survived(digest)))

    def has_survived(self, digest: str) -> bool:
        """Tell whether the bundle passed a sandboxed load on this machine."""
        return self._read().get(digest, LoadRecord(0)).survived

    def note_survival(self, digest: str) -> None:
        """Note that the bundle passed a sandboxed load, so that the other workers of this machine need none."""
        if found := self._read().get(digest):
            self._write(digest, msgspec.structs.replace(found, survived=True))

    def _read(self) -> dict[str, LoadRecord]:
        try:
            return files.read_struct(self._path, dict[str, LoadRecord]) or {}
        except DamagedFile as error:
            _log.error("%s", error)
            return {}

    def _write(self, digest: str, record: LoadRecord) -> None:
        """Write the record as the newest. A volume that cannot be written keeps no model from serving."""
        records = {name: kept for name, kept in self._read().items() if name != digest} | {digest: record}
        newest = dict(list(records.items())[-_KEPT:])
        with contextlib.suppress(OSError):
            files.write_json(self._path, newest, durable=False)
