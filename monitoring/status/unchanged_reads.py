"""Results of reading the log, kept while what was read is unchanged: a scrape of many use cases then reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from slipway.settings import Settings
from slipway.storage import ObjectStore, object_store

Result = TypeVar("Result")
MOST = 4096  # results, of which a use case has four: those that are gone leave with all others


class UnchangedReads:
    """Results of `read` by the name of an object or folder; an exception is not kept."""

    def __init__(self, config: Settings) -> None:
        self._store: ObjectStore = object_store(config)
        self._kept: dict[str, tuple[Hashable, object]] = {}

    def get(self, name: str, read: Callable[[], Result]) -> Result:
        """Return what `read` returns, or returned when the object was as it is now."""
        stamp = self._store.stamp(name)
        if stamp is None:
            return read()
        kept = self._kept.get(name)
        if kept is None or kept[0] != stamp:
            if len(self._kept) >= MOST:
                self._kept.clear()
            kept = self._kept[name] = stamp, read()
        return kept[1]  # type: ignore[return-value]
