"""File of a worker's metrics: a scrape reads the values alone, and the series only if they are others than before.

prometheus_client appends series to a file and never moves one. So a file has the series of the last time as long as all
its bytes but the values are the same.
"""

from __future__ import annotations

import math
import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict

Labels = tuple[tuple[str, str], ...]
_WORD = 8  # bytes: a value begins at a multiple of it, and its time follows
_BOUND = "le"  # the label of a histogram's bucket


class Series(NamedTuple):
    """A series of a metric: the metric's name and help, its own name and labels; of a bucket also its `bound`.

    `child` are the labels that all series of a histogram's child share.
    """

    metric: str
    help: str
    name: str
    labels: Labels
    child: Labels
    bound: float = -math.inf

    @property
    def is_bucket(self) -> bool:
        return self.bound > -math.inf


class MetricsFile:
    """The `keys` of the series in a file with their `values` at the last `read`, and the times of these, if any.

    `kind` is prometheus_client's, such as `counter` or `gauge_livesum`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = kind_of(path)
        self.keys: list[str] = []
        self.values = self.times = np.empty(0)
        self._places = np.empty(0, np.int64)  # of the values, in words
        self._layout = np.empty(0, np.int64)  # the words of the file, with zeros for values and times

    def read(self) -> bool:
        """Read the values, and return whether the series are others than before. A damaged file raises anything."""
        words = _used_words(self.path)
        is_known = words.size == self._layout.size and np.array_equal(self._without_values(words), self._layout)
        if not is_known:
            words = self._read_keys()
        numbers = words.view(np.float64)
        self.values, self.times = numbers[self._places], numbers[self._places + 1]
        return not is_known

    def _read_keys(self) -> NDArray[np.int64]:
        """Read the keys, and return the file's words up to the last of them: the file may have grown meanwhile."""
        entries = list(MmapedDict.read_all_values_from_file(self.path))
        self.keys = [key for key, *_ in entries]
        for key in self.keys:
            parse(key)
        self._places = np.array([position for *_, position in entries], np.int64) // _WORD
        words = _used_words(self.path)[: self._places[-1] + 2 if entries else 1]
        self._layout = self._without_values(words)
        return words

    def _without_values(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        layout = words.copy()
        layout[self._places] = layout[self._places + 1] = 0
        return layout


def kind_of(path: Path) -> str:
    """Return the kind of a file, which is called `KIND_PID.db`."""
    return path.stem.rpartition("_")[0]


def _used_words(path: Path) -> NDArray[np.int64]:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        (used,) = struct.unpack("i", file.read(4))
        if not 0 <= used <= size:
            raise ValueError(f"{path} says that {used} of its {size} bytes are in use")
        file.seek(0)
        return np.frombuffer(file.read(used), np.int64)


@lru_cache(maxsize=1 << 14)  # the workers have the same series
def parse(key: str) -> Series:
    """Parse the key of a series. Raises ValueError where it is damaged."""
    metric, name, found, description = msgspec.json.decode(key, type=tuple[str, str, dict[str, str], str])
    Metric(metric, description, "gauge")  # raises where it is no metric's name
    labels = tuple(found.items())
    child = tuple(label for label in labels if label[0] != _BOUND)
    return Series(metric, description, name, labels, child, float(found.get(_BOUND, -math.inf)))
