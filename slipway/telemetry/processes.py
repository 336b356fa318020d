"""Processor time, memory, its limit, and open files of processes, read from /proc when Prometheus scrapes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from slipway.system.memory import limit_bytes

NAME = "slipway_process"
_HELP = {
    "cpu_seconds": "Processor time that a process has used, in user and system mode.",
    "resident_memory_bytes": "Memory of a process that is in RAM.",
    "memory_limit_bytes": "Least limit of the control groups of a process; absent where none limits its memory.",
    "start_time_seconds": "Time at which a process started.",
    "open_fds": "Open file descriptors of a process.",
    "max_fds": "Most file descriptors that a process may have open.",
}


class ProcessMetrics(Collector):
    """The metrics of some processes, by name; one that has ended is left out."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        families = {name: _family(name) for name in _HELP}
        for process, pid in self._pids().items():
            for name, value in _read(pid).items():
                families[name].add_metric([process], value)
        yield from families.values()


def this_process(name: str) -> ProcessMetrics:
    """The metrics of the process that exports them."""
    return ProcessMetrics(lambda: {name: os.getpid()})


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if name == "cpu_seconds" else GaugeMetricFamily
    return kind(f"{NAME}_{name}", _HELP[name], labels=["process"])


def _read(pid: int) -> dict[str, float]:
    """Read the values of one process by the client library; nothing where there is no such process."""
    values = {family.name.removeprefix(f"{NAME}_"): family.samples[0].value for family in _collector(pid).collect()}
    limit = limit_bytes(pid)
    if values and limit is not None:
        values["memory_limit_bytes"] = limit
    return {name: value for name, value in values.items() if name in _HELP}


@lru_cache(maxsize=64)
def _collector(pid: int) -> ProcessCollector:
    """Make the collector of a process once: it begins with the machine's boot time, in a file that takes long to read
    where there are many processors."""
    return ProcessCollector("slipway", lambda: pid, registry=None)
