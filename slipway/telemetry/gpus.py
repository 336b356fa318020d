"""Memory and use of the GPUs that the process sees, by NVIDIA's library; nothing where there is none."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_log = logging.getLogger("slipway.telemetry")


class GpuMetrics(Collector):
    """One series per GPU, by its index."""

    def collect(self) -> Iterator[Metric]:
        used = GaugeMetricFamily("slipway_gpu_memory_used_bytes", "Memory of a GPU that is in use.", labels=["gpu"])
        total = GaugeMetricFamily("slipway_gpu_memory_total_bytes", "Memory of a GPU.", labels=["gpu"])
        busy = GaugeMetricFamily(
            "slipway_gpu_utilization_ratio", "Share of the last moments in which a GPU computed.", labels=["gpu"]
        )
        for gpu, (memory, memory_total, share) in _measure().items():
            used.add_metric([gpu], memory)
            total.add_metric([gpu], memory_total)
            if share is not None:
                busy.add_metric([gpu], share)
        yield from (used, total, busy)


def _measure() -> dict[str, tuple[int, int, float | None]]:
    """Memory in use, all memory, and the share of time in use, which a part of a GPU (MIG) does not have."""
    nvml = _nvml()
    if nvml is None:
        return {}
    found = {}
    with contextlib.suppress(nvml.NVMLError):  # a GPU that is lost must not fail the scrape
        for index in range(nvml.nvmlDeviceGetCount()):
            gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
            found[str(index)] = memory.used, memory.total, _utilization(nvml, gpu)
    return found


def _utilization(nvml: Any, gpu: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu) / 100
    except nvml.NVMLError_NotSupported:
        return None


@cache
def _nvml() -> Any:
    """Load the library once; None where it is not installed, or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        _log.debug("no GPU is measured: %s", error)
        return None
    return pynvml
