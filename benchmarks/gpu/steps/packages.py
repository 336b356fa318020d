"""Packages of an environment: those of its lock, at their versions, and CUDA's libraries load with them."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gpu.check import Check, judge, judge_on_gpu
from benchmarks.gpu.context import Context
from benchmarks.gpu.environments import ROOT

_SHOWN = 3


def check_packages(context: Context) -> Iterator[Check]:
    """Compare the installed versions with the lock's."""
    lock = f"locks/{context.lock}.txt"
    locked = locked_versions((ROOT / lock).read_text())
    wrong = [
        f"{name}: {_installed(name)} in place of {wanted}" for name, wanted in locked.items() if differs(name, wanted)
    ]
    detail = f"{len(locked) - len(wrong)} of {len(locked)} packages of `{lock}`"
    detail += f"; {', '.join(wrong[:_SHOWN])}" if wrong else ""
    yield judge(f"locked packages for {context.environment}", not wrong, detail)


def locked_versions(lock: str) -> dict[str, str]:
    """Read the versions by package of those lines whose markers hold on this machine."""
    from packaging.requirements import Requirement

    lines = [line.removesuffix("\\").strip() for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    requirements = [Requirement(line) for line in lines]
    there = [one for one in requirements if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in there}


def differs(name: str, wanted: str) -> bool:
    return _installed(name) != wanted


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def check_onnxruntime(context: Context) -> Iterator[Check]:
    """Load CUDA's libraries from their wheels, and with them ONNX Runtime's own for CUDA, as a first session does."""
    import onnxruntime

    found = onnxruntime.get_available_providers()
    onnxruntime.preload_dlls()
    problem = _problem_of_loading(Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so")
    detail = f"ONNX Runtime {onnxruntime.__version__} with {', '.join(found)}" + (f"; {problem}" if problem else "")
    holds = "CUDAExecutionProvider" in found and not problem
    yield judge_on_gpu(context.device, "ONNX Runtime loads CUDA", holds, detail)


def _problem_of_loading(library: Path) -> str:
    if not library.exists():
        return f"it has no {library.name}"
    try:
        ctypes.CDLL(str(library), os.RTLD_LAZY)
    except OSError as error:
        # What only ONNX Runtime itself defines is no fault of the library's needs, which are files
        return str(error) if "cannot open shared object file" in str(error) else ""
    return ""


def check_tensorflow(context: Context) -> Iterator[Check]:
    """List the GPUs of TensorFlow, which are none where one of CUDA's libraries does not load."""
    from pipelines.modeling.devices import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    cuda = tf.sysconfig.get_build_info().get("cuda_version", "none")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    detail = f"TensorFlow {tf.__version__}, built for CUDA {cuda}: {', '.join(names) or 'no GPU'}"
    yield judge_on_gpu(context.device, "TensorFlow finds the GPU", bool(gpus), detail)
