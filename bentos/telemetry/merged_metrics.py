"""Text of the metrics of all workers: which values make up a line is found once, and not in each scrape.

The text is that of prometheus_client's `MultiProcessCollector`, which parses, adds and formats each series of each
worker in each scrape: thousands where there are 20 use cases and 4 workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric, generate_latest
from prometheus_client.utils import floatToGoString

from bentos.telemetry.metrics_file import Labels, MetricsFile, Series, parse

_SUM, _GREATEST, _NEWEST = range(3)
MERGED_BY = {  # kind of a file: what is shown of the values that the workers have of a series
    "counter": _SUM,
    "histogram": _SUM,
    "gauge_livesum": _SUM,
    "gauge_livemax": _GREATEST,
    "gauge_livemostrecent": _NEWEST,
}


class MergedMetrics:
    """The metrics in some files, whose series stay those that the files have when this is made."""

    def __init__(self, files: Sequence[MetricsFile]) -> None:
        samples = [sample for metric in _metrics(files) for sample in metric.samples()]
        self._files = files
        self._texts = [(sample.header, _line(sample.name, sample.labels)) for sample in samples]
        self._usecases = np.array([dict(sample.labels).get("usecase", "") for sample in samples], str)
        self._merged_by = np.array([sample.merged_by for sample in samples], np.int64)
        self._parts = np.array([part for sample in samples for part in sample.parts], np.int64)
        self._lengths = np.array([len(sample.parts) for sample in samples], np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def text(self, usecases: Collection[str] | None = None) -> bytes:
        """Return the lines of these use cases and of none, or all lines, with the values that the files read last."""
        if not self._texts:
            return b""
        values, shown = self._merge()
        if usecases is not None:
            shown &= np.isin(self._usecases, ["", *usecases])
        lines = (
            f"{header}{line}{floatToGoString(value)}\n" if is_shown else header
            for (header, line), value, is_shown in zip(self._texts, values.tolist(), shown.tolist(), strict=True)
        )
        return "".join(lines).encode()

    def _merge(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return each line's value, and whether it has one: there is no newest value before a worker has set it."""
        values = np.concatenate([file.values for file in self._files])[self._parts]
        times = np.concatenate([file.times for file in self._files])[self._parts]
        last = np.maximum.reduceat(times, self._starts)
        newest = np.flatnonzero(times == np.repeat(last, self._lengths))
        choices = (  # in the order of _SUM, _GREATEST, _NEWEST
            np.add.reduceat(values, self._starts),
            np.maximum.reduceat(values, self._starts),
            values[newest[np.searchsorted(newest, self._starts)]],
        )
        return np.choose(self._merged_by, choices), (self._merged_by != _NEWEST) | (last > 0)


class _Sample(NamedTuple):
    """A line of the text, and its metric's header if it is the first; `parts` are the values that it is merged from, by
    their index among those of all files."""

    header: str
    name: str
    labels: Labels
    merged_by: int
    parts: list[int]


class _Metric:
    """A metric; its series, and the indices of their values, are held by child, in the order of the text."""

    def __init__(self, kind: str, series: Series) -> None:
        self._kind, self._name, self._help = kind, series.metric, series.help
        self._children: dict[Labels, list[tuple[Series, list[int]]]] = {}

    def add(self, series: Series, parts: list[int]) -> None:
        self._children.setdefault(series.child, []).append((series, parts))

    def samples(self) -> Iterator[_Sample]:
        """Yield the samples, the first of them with the header."""
        header = _format(Metric(self._name, self._help, self._kind.partition("_")[0]))
        for child, held in self._children.items():
            for name, labels, parts in self._lines(child, held):
                yield _Sample(header, name, labels, MERGED_BY[self._kind], parts)
                header = ""

    def _lines(
        self, child: Labels, held: Sequence[tuple[Series, list[int]]]
    ) -> Iterator[tuple[str, Labels, list[int]]]:
        """Yield the lines of a child; a bucket contains all smaller ones, and the count of a histogram all of them."""
        smaller: list[int] = []
        for series, parts in sorted(held, key=_bound):
            if series.is_bucket:
                parts = smaller = [*smaller, *parts]
            yield series.name, series.labels, parts
        if smaller:
            yield f"{self._name}_count", child, smaller


class _Collected(NamedTuple):
    """A metric as prometheus_client collects it."""

    metric: Metric

    def collect(self) -> list[Metric]:
        return [self.metric]


def _metrics(files: Sequence[MetricsFile]) -> list[_Metric]:
    """Find the metrics, in the order of the files."""
    parts: dict[str, list[int]] = defaultdict(list)
    kinds: dict[str, str] = {}
    every = ((file.kind, key) for file in files for key in file.keys)
    for index, (kind, key) in enumerate(every):
        parts[key].append(index)
        kinds.setdefault(key, kind)
    found: dict[str, _Metric] = {}
    for key, kind in kinds.items():
        series = parse(key)
        if series.metric not in found:
            found[series.metric] = _Metric(kind, series)
        found[series.metric].add(series, parts[key])
    return list(found.values())


def _bound(held: tuple[Series, list[int]]) -> float:
    return held[0].bound


@lru_cache(maxsize=1 << 14)
def _line(name: str, labels: Labels) -> str:
    """Format a sample without its value."""
    metric = Metric(name, "", "gauge")
    header = _format(metric)
    metric.add_sample(name, dict(labels), 0.0)
    return _format(metric).removeprefix(header).removesuffix("0.0\n")


def _format(metric: Metric) -> str:
    return generate_latest(_Collected(metric)).decode()
