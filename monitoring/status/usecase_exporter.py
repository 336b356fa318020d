"""Metrics of what a use case's file declares: its owner, and the bounds of its gates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.status.usecase_files import declared
from slipway.evaluation.metrics import METRICS


class UseCaseCollector(Collector):
    """Gauges of the use cases that `names` returns, of those whose folder is on this machine."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "slipway_usecase_info",
            "1 for each use case whose folder is here: who owns it, for the routing of alerts, and its task.",
            labels=["usecase", "owner", "task"],
        )
        bound = GaugeMetricFamily(
            "slipway_quality_bound",
            "Bound of `gates.absolute`: `min` of a score of which more is better, `max` of any other.",
            labels=["usecase", "metric", "bound"],
        )
        for usecase in filter(None, map(declared, self._names())):
            info.add_metric([usecase.name, usecase.owner, usecase.task], 1)
            for name, value in usecase.gates.absolute.items():
                if metric := METRICS[usecase.task].get(name):  # training refuses any other
                    bound.add_metric([usecase.name, name, "min" if metric.sign > 0 else "max"], value)
        yield from (info, bound)
