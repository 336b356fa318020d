"""Results that all viewers share: whoever asks for one that is computed, or was a moment ago, gets the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class TooManyResults(Exception):
    """As many different results as are kept are being computed."""


@dataclass
class _Entry(Generic[Result]):
    """A result that is there or under way; `until` is when it is too old."""

    future: Future[Result] = field(default_factory=Future)
    until: float = float("inf")


class SharedResults(Generic[Key, Result]):
    """Computes each result once for all who ask within `seconds`, one at a time, and keeps `most` of them.

    Those who wait hold no thread, so that other pages of the server are answered meanwhile. A computation is finished
    and kept also where everybody who asked for it is gone.
    """

    def __init__(self, compute: Callable[[Key], Result], seconds: float, most: int = 16) -> None:
        self._compute = compute
        self._seconds = seconds
        self._most = most
        self._entries: dict[Key, _Entry[Result]] = {}
        self._one_at_a_time = threading.Lock()

    async def get(self, key: Key) -> Result:
        """Return the result, or raise what its computation raised; for the event loop's thread only.

        Raises:
            TooManyResults: others are computed, as many as are kept.
        """
        found = self._entries.get(key)
        if found is None or found.until <= time.monotonic():
            found = self._begin(key)
        return await asyncio.shield(asyncio.wrap_future(found.future))

    def _begin(self, key: Key) -> _Entry[Result]:
        self._entries.pop(key, None)
        self._make_room()
        entry = self._entries[key] = _Entry()
        threading.Thread(target=self._run, args=(key, entry), name="shared-result", daemon=True).start()
        return entry

    def _make_room(self) -> None:
        """Forget what is too old, and the oldest of what is there if that is not enough."""
        now = time.monotonic()
        there = [key for key, entry in self._entries.items() if entry.future.done()]
        surplus = len(self._entries) - self._most + 1
        for number, key in enumerate(there):
            if number < surplus or self._entries[key].until <= now:
                del self._entries[key]
        if len(self._entries) >= self._most:
            raise TooManyResults

    def _run(self, key: Key, entry: _Entry[Result]) -> None:
        with self._one_at_a_time:
            try:
                result = self._compute(key)
            except Exception as error:
                entry.until = time.monotonic() + self._seconds
                entry.future.set_exception(error)
            else:
                entry.until = time.monotonic() + self._seconds
                entry.future.set_result(result)
