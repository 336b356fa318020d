"""Text of the metrics of all workers: which values make up a line is found once, and not in each scrape.

The text is that of prometheus_client's `MultiProcessCollector`, which parses, adds and formats each series of each
worker in each scrape: thousands where there are 20 use cases and 4 workers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from bentos.telemetry.metrics_file import Labels, MetricsFile, Series

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
        metrics = _metrics(files)
        samples = [sample for metric in metrics for sample in metric.samples()]
        self._files = files
        self._texts = _texts(metrics)
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
    """A line of the text; `parts` are the values that it is merged from, by their index among those of all files."""

    name: str
    labels: Labels
    merged_by: int
    parts: list[int]


class _Metric:
    """A metric; the indices of its values are held by child and series, in the order of the text."""

    def __init__(self, kind: str, series: Series) -> None:
        self.name, self.help, self.type = series.metric, series.help, kind.partition("_")[0]
        self._merged_by = MERGED_BY[kind]
        self._children: dict[Labels, dict[Series, list[int]]] = {}

    def add(self, series: Series, index: int) -> None:
        self._children.setdefault(series.child, {}).setdefault(series, []).append(index)

    def samples(self) -> Iterator[_Sample]:
        """Yield the samples; a bucket's holds all smaller buckets, and a histogram's count all of its buckets."""
        for child, held in self._children.items():
            smaller: list[int] = []
            for series in sorted(held, key=lambda series: series.bound):
                parts = held[series]
                if series.is_bucket:
                    parts = smaller = [*smaller, *parts]
                yield _Sample(series.name, series.labels, self._merged_by, parts)
            if smaller:
                yield _Sample(f"{self.name}_count", child, self._merged_by, smaller)


class _Zeros(Collector):
    """The metrics with each sample at zero."""

    def __init__(self, metrics: Sequence[_Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics:
            collected = Metric(metric.name, metric.help, metric.type)
            for sample in metric.samples():
                collected.add_sample(sample.name, dict(sample.labels), 0.0)
            yield collected


def _metrics(files: Sequence[MetricsFile]) -> list[_Metric]:
    found: dict[str, _Metric] = {}
    every = ((file.kind, series) for file in files for series in file.series)
    for index, (kind, series) in enumerate(every):
        metric = found.get(series.metric)
        if metric is None:
            metric = found[series.metric] = _Metric(kind, series)
        metric.add(series, index)
    return list(found.values())


def _texts(metrics: Sequence[_Metric]) -> list[tuple[str, str]]:
    """Let prometheus_client format the samples, and return of each what stands before it, and its line but the value.

    In front of the first sample of a metric stands the metric's description.
    """
    texts, header = [], ""
    for line in generate_latest(_Zeros(metrics)).decode().split("\n")[:-1]:
        if line.startswith("#"):
            header += f"{line}\n"
        else:
            texts.append((header, line.removesuffix("0.0")))
            header = ""
    return texts
