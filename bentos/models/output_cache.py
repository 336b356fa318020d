"""Cache: the network's outputs for rows that came before, where `serving.cache` in usecase.yaml says how many to keep.

It belongs to a loaded model, so a swap begins with an empty one.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

Feeds = Mapping[str, np.ndarray]
MOST_ENTRIES = 1_000_000  # the same as in slipway.usecase, which a server does not load
HEADER = b"x-slipway-cache"
_KEY_BYTES = 32


class CacheLookup(msgspec.Struct, frozen=True):
    """`outputs` float32 [n, k]; `hits` says of each row whether it was in the cache; empty where there is none."""

    outputs: np.ndarray
    hits: Sequence[bool]


class CachedResponse(bytes):
    """The body of an answer that was looked up; `said` is `hit`, `partial` or `miss`."""

    said: bytes

    @classmethod
    def of(cls, content: bytes, hits: Sequence[bool]) -> CachedResponse:
        body = cls(content)
        body.said = b"hit" if all(hits) else b"partial" if any(hits) else b"miss"
        return body


class OutputCache:
    """The outputs of the `entries` rows that were asked for last: 32 bytes of key and one row of outputs for each.

    Threads share it. A key is a hash of the model's digest and the encoded row, so equal keys are equal rows.
    """

    def __init__(self, entries: int, digest: str) -> None:
        self._entries = entries
        self._begin = hashlib.blake2b(digest.encode(), digest_size=_KEY_BYTES)
        self._rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def run(self, feeds: Feeds, run: Callable[[Feeds], np.ndarray]) -> CacheLookup:
        """What `run` gives for the feeds; it is called with the rows that are not here, and not at all where all are.

        What it raises passes through, and nothing is kept of it.
        """
        keys = self._keys(feeds)
        found = self._look_up(keys)
        hits = [row is not None for row in found]
        if hits and all(hits):
            return CacheLookup(np.stack(found), hits)
        missing = [index for index, hit in enumerate(hits) if not hit]
        alone = len(missing) == len(hits)
        made = run(feeds if alone else {name: values[missing] for name, values in feeds.items()})
        self._keep([keys[index] for index in missing], made)
        if alone:
            return CacheLookup(made, hits)
        outputs = np.empty((len(keys), *made.shape[1:]), made.dtype)
        outputs[missing] = made
        for index, row in enumerate(found):
            if row is not None:
                outputs[index] = row
        return CacheLookup(outputs, hits)

    def _keys(self, feeds: Feeds) -> list[bytes]:
        """One for each row; the inputs have fixed names and widths, so their bytes one after another are unique."""
        keys = []
        for row in zip(*(feeds[name] for name in sorted(feeds)), strict=True):
            digest = self._begin.copy()
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

    def _keep(self, keys: list[bytes], outputs: np.ndarray) -> None:
        with self._lock:
            for key, row in zip(keys[-self._entries :], outputs[-self._entries :], strict=True):
                self._rows[key] = row.copy()
                self._rows.move_to_end(key)
            while len(self._rows) > self._entries:
                self._rows.popitem(last=False)
