"""Output cache: the network's outputs of recent rows, as many as `serving.cache` in usecase.yaml sets.

Each loaded model has its own, so a swap starts with an empty cache.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

Feeds = Mapping[str, np.ndarray]
MAX_ENTRIES = 1_000_000  # the same as in slipway.config.sections, which a server does not load
HEADER = b"x-slipway-cache"
_KEY_BYTES = 32


class CacheLookup(msgspec.Struct, frozen=True):
    """The result of a lookup: `outputs` float32 [n, k], and whether each row was a hit; empty without a cache."""

    outputs: np.ndarray
    hits: Sequence[bool]


class CachedResponse(bytes):
    """A response body from a model with a cache; `status` (`hit`, `partial` or `miss`) is for the header."""

    status: bytes

    @classmethod
    def of(cls, content: bytes, hits: Sequence[bool]) -> CachedResponse:
        body = cls(content)
        body.status = b"hit" if all(hits) else b"partial" if any(hits) else b"miss"
        return body


class OutputCache:
    """A thread-safe LRU cache of `entries` rows: a key of 32 bytes and one row of outputs each.

    A key hashes the model's digest and the encoded row, so equal keys mean equal rows.
    """

    def __init__(self, entries: int, digest: str) -> None:
        self._entries = entries
        self._seed = hashlib.blake2b(digest.encode(), digest_size=_KEY_BYTES)
        self._rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def run(self, feeds: Feeds, run: Callable[[Feeds], np.ndarray]) -> CacheLookup:
        """Return the outputs for the feeds, and call `run` with the rows that are not cached, if any.

        Exceptions of `run` pass through; nothing is cached then.
        """
        keys = self._keys(feeds)
        found = self._look_up(keys)
        hits = [row is not None for row in found]
        if hits and all(hits):
            return CacheLookup(np.stack(found), hits)
        missing = [index for index, hit in enumerate(hits) if not hit]
        all_missing = len(missing) == len(hits)
        computed = run(feeds if all_missing else {name: values[missing] for name, values in feeds.items()})
        self._store([keys[index] for index in missing], computed)
        if all_missing:
            return CacheLookup(computed, hits)
        outputs = np.empty((len(keys), *computed.shape[1:]), computed.dtype)
        outputs[missing] = computed
        for index, row in enumerate(found):
            if row is not None:
                outputs[index] = row
        return CacheLookup(outputs, hits)

    def _keys(self, feeds: Feeds) -> list[bytes]:
        """Hash each row; inputs have fixed names and widths, so their concatenated bytes are unique."""
        keys = []
        for row in zip(*(feeds[name] for name in sorted(feeds)), strict=True):
            digest = self._seed.copy()
            for values in row:
                digest.update(values.tobytes())
            keys.append(digest.digest())
        return keys

    def _look_up(self, keys: list[bytes]) -> list[np.ndarray | None]:
        with self._lock:
            found = [self._rows.get(key) for key in keys]
            for key, row in zip(keys, found, strict=True):
                if row is not None:
                    self._rows.move_to_end(key)
        return found

    def _store(self, keys: list[bytes], outputs: np.ndarray) -> None:
        with self._lock:
            for key, row in zip(keys[-self._entries :], outputs[-self._entries :], strict=True):
                self._rows[key] = row.copy()
                self._rows.move_to_end(key)
            while len(self._rows) > self._entries:
                self._rows.popitem(last=False)
