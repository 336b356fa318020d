"""The serving image for GPUs, on a machine without one: it reports that, and serves on a CPU only if configured to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.bentos.images.conftest import made
from tests.infra.images.containers import OPEN, READ_ONLY, Serving, inspected, shell


@pytest.fixture(scope="module")
def gpu_image(needs, tmp_path_factory):
    needs("docker")
    needs("large images")
    yield from made(tmp_path_factory.mktemp("gpu"), "--device", "gpu")


def test_it_is_tagged_as_the_gpu_image_and_has_the_locked_cuda(gpu_image):
    assert gpu_image.tag.endswith("-gpu")
    assert "SLIPWAY_DEVICE=gpu" in inspected(gpu_image.tag)["Config"]["Env"]
    sbom = json.loads(Path(gpu_image.answer["image"]["sbom"]).read_text())
    names = {part["name"] for part in sbom["components"]}
    assert {"onnxruntime-gpu", "nvidia-cublas", "nvidia-cudnn-cu13"} <= names
    assert "onnxruntime" not in names


def test_its_cuda_libraries_are_found_in_their_wheels(gpu_image):
    """As they are loaded before the first session: `preload_dlls` prints what it misses. The driver's is not there."""
    output = shell(gpu_image.tag, "python -c 'import onnxruntime; onnxruntime.preload_dlls()' 2>&1")
    assert "ailed" not in output, output
    provider = "/opt/slipway/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so"
    load = f'import ctypes, os, onnxruntime; onnxruntime.preload_dlls(); ctypes.CDLL("{provider}", os.RTLD_LAZY)'
    output = shell(gpu_image.tag, f"python -c '{load}' 2>&1; true")
    assert re.findall(r"(\S+): cannot open shared object file", output) == ["libcuda.so.1"], output


def test_without_a_gpu_it_serves_nothing_and_names_what_is_missing(gpu_image):
    with Serving(gpu_image.tag, *READ_ONLY, *OPEN) as container:
        container.until_output("NVIDIA's driver is not there (libcuda.so.1)")
        assert "docker run --gpus all" in container.output and "SLIPWAY_DEVICE" in container.output
        status, body = container.request("/readyz")
        assert status == 503 and b"libcuda.so.1" in body


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_with_the_device_cpu_it_serves_on_a_cpu(gpu_image, device):
    with Serving(gpu_image.tag, *READ_ONLY, *OPEN, f"--env=SLIPWAY_DEVICE={device}") as container:
        container.until(200)
        assert json.loads(container.request("/v1/models/loans")[1])["device"] == "cpu"
