"""GPUs: by NVIDIA's library, here with a stand-in for it; what it cannot say is left out."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from slipway.telemetry import gpus


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


def library(**changes: object) -> SimpleNamespace:
    memory = SimpleNamespace(used=3 << 30, total=80 << 30)
    there = {
        "NVMLError": NVMLError,
        "NVMLError_NotSupported": NotSupported,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda gpu: memory,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=40),
    }
    return SimpleNamespace(**there | changes)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch):
    def measured(nvml: object) -> dict[str, dict[str, float]]:
        gpus._nvml.cache_clear()
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        found = {metric.name: metric.samples for metric in gpus.GpuMetrics().collect()}
        return {name: {sample.labels["gpu"]: sample.value for sample in samples} for name, samples in found.items()}

    yield measured
    gpus._nvml.cache_clear()


def fail(*_: object) -> None:
    raise NVMLError


def refuse(*_: object) -> None:
    raise NotSupported


def test_each_gpu_has_its_memory_and_its_use(measure) -> None:
    assert measure(library()) == {
        "slipway_gpu_memory_used_bytes": {"0": 3 << 30, "1": 3 << 30},
        "slipway_gpu_memory_total_bytes": {"0": 80 << 30, "1": 80 << 30},
        "slipway_gpu_utilization_ratio": {"0": 0.4, "1": 0.4},
    }


def test_a_part_of_a_gpu_has_no_utilization(measure) -> None:
    found = measure(library(nvmlDeviceGetUtilizationRates=refuse))
    assert found["slipway_gpu_utilization_ratio"] == {}
    assert len(found["slipway_gpu_memory_used_bytes"]) == 2


@pytest.mark.parametrize("nvml", [None, library(nvmlInit=fail), library(nvmlDeviceGetMemoryInfo=fail)])
def test_without_a_driver_or_with_a_lost_gpu_there_are_no_series_and_no_error(measure, nvml) -> None:
    assert set(map(len, measure(nvml).values())) == {0}
