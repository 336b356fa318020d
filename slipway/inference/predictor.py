"""Predictor: a bundle's network in ONNX Runtime, on the chosen device."""

from __future__ import annotations

import base64
import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway.contracts.bundle import onnx_check
from slipway.contracts.schema import Schema
from slipway.errors import BundleError, SettingsError
from slipway.inference.decoder import Prediction, decode
from slipway.inference.encoder import Encoder, Row
from slipway.inference.images import decode_image

# Since 1.29 its Linux builds tell Microsoft the name and size of every model, unless this is set before the import
# (https://github.com/microsoft/onnxruntime/pull/27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

_INPUT_TYPES = {"numbers": "tensor(float)", "codes": "tensor(int64)", "images": "tensor(uint8)"}


class Predictor:
    """A bundle's network, ready to run: `directory` holds `serve/`, already verified.

    Raises:
        BundleError: ONNX Runtime cannot load the network, or its inputs are not the schema's.
        SettingsError: SLIPWAY_DEVICE is `gpu`, and ONNX Runtime cannot use one.
    """

    def __init__(self, directory: Path, device: str = "auto") -> None:
        serve = directory / "serve"
        self.schema = Schema.load(serve / "schema.json")
        self.serving: dict[str, Any] = _read_json(serve / "serving.json")
        self.probe: dict[str, Any] = _read_json(serve / "probe.json")
        self.encoder = Encoder(self.schema)
        onnx_check.check(serve / "model.onnx")
        self.session = _session(serve / "model.onnx", device)
        self.device = "gpu" if self.session.get_providers()[0].startswith("CUDA") else "cpu"
        self._check_inputs(serve / "model.onnx")
        self._output = [self.session.get_outputs()[0].name]

    def encode(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        return self.encoder.encode(rows)

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Run the network: float32 [n, k], probabilities in the classes' order, or [n, 1] in target units."""
        return self.session.run(self._output, feeds)[0]

    def decode(self, outputs: np.ndarray) -> list[Prediction]:
        return decode(self.schema, outputs)

    def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        return self.decode(self.run(self.encode(rows)))

    def probe_rows(self) -> list[dict[str, Any]]:
        """Read the probe's rows, as `encode` takes them: images decoded."""
        images = {feature.name: feature for feature in self.schema.images}
        return [
            {
                name: decode_image(base64.b64decode(value["b64"]), images[name]) if name in images else value
                for name, value in row.items()
            }
            for row in self.probe["rows"]
        ]

    def _check_inputs(self, path: Path) -> None:
        schema = self.schema
        wanted = {"numbers": schema.numbers, "codes": schema.codes, "images": schema.images}
        expected = {name: _INPUT_TYPES[name] for name, features in wanted.items() if features}
        found = {node.name: node.type for node in self.session.get_inputs()}
        if found != expected:
            raise BundleError(f"{path} has the inputs {found}; its schema needs {expected}: it is of another model.")


def _session(path: Path, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    missing = None if device == "cpu" else _missing_for_cuda()
    if device == "gpu" and missing:
        raise SettingsError(
            f"a GPU was asked for (SLIPWAY_DEVICE=gpu), and {missing} Or set SLIPWAY_DEVICE: auto takes a GPU where "
            "there is one, cpu never does."
        )
    cuda = ["CUDAExecutionProvider"] if device != "cpu" and not missing else []
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[*cuda, "CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        raise BundleError(f"{path} cannot be loaded: {error}") from None
    if device == "gpu" and not session.get_providers()[0].startswith("CUDA"):
        raise SettingsError("a GPU was asked for, and CUDA did not start: `slipway doctor` says what is missing.")
    return session


def _missing_for_cuda() -> str | None:
    """Load CUDA's libraries, which may be in wheels; returns why it cannot be used, as a sentence, or nothing."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this ONNX Runtime is built without CUDA: install onnxruntime-gpu in its place."
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (
            "NVIDIA's driver is not there (libcuda.so.1): run on a machine with a GPU, and give the container one "
            "(`docker run --gpus all`; nvidia.com/gpu in Kubernetes)."
        )
    onnxruntime.preload_dlls()
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds {type(content).__name__}, an object is needed.")
    return content
