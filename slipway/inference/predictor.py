"""Predictor: a bundle's network in ONNX Runtime, on the chosen device."""

from __future__ import annotations

import base64
import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slipway.contracts.bundle import manifest, onnx_check
from slipway.contracts.schema import Schema
from slipway.errors import BundleError, SettingsError
from slipway.inference.decoder import Prediction, decode
from slipway.inference.encoder import Encoder, Row
from slipway.inference.images import decode_image
from slipway.inference.network_size import check_size

# Since 1.29 its Linux builds tell Microsoft the name and size of every model, unless this is set before the import
# (https://github.com/microsoft/onnxruntime/pull/27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

# TensorFloat-32, its default since Ampere, rounds products to 10 bits: outputs of a row would differ from its own in a
# batch, and by up to 1e-3 from the CPU's (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html).
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_INPUT_TYPES = {"numbers": "tensor(float)", "codes": "tensor(int64)", "images": "tensor(uint8)"}


class Parts(NamedTuple):
    """What a predictor is made of: the bytes of the network, and the content of the files beside it."""

    network: bytes
    schema: Schema
    serving: dict[str, Any]
    probe: dict[str, Any]

    @staticmethod
    def parse(directory: Path, content: Mapping[str, bytes]) -> Parts:
        """Parse the bytes of a bundle's files by name; the directory is for messages. Raises BundleError."""
        network, schema, serving, probe = manifest.SERVE_FILES
        return Parts(
            content[network],
            Schema.parse(content[schema], directory / schema),
            _parse_object(content[serving], directory / serving),
            _parse_object(content[probe], directory / probe),
        )


class Predictor:
    """A bundle's network, ready to run: `directory` holds `serve/`, already verified.

    With `parts` nothing is read again that may have changed since it was verified.

    Raises:
        BundleError: ONNX Runtime cannot load the network, or its inputs are not the schema's.
        SettingsError: SLIPWAY_DEVICE is `gpu`, and ONNX Runtime cannot use one.
    """

    def __init__(self, directory: Path, device: str = "auto", parts: Parts | None = None) -> None:
        parts = parts or Parts.parse(directory, manifest.read(directory, manifest.SERVE_FILES))
        self.schema = parts.schema
        self.serving = parts.serving
        self.probe = parts.probe
        self.encoder = Encoder(self.schema)
        check_size(onnx_check.check(parts.network), self.schema)
        self.session = _session(parts.network, directory / "serve/model.onnx", device)
        self.device = "gpu" if self.session.get_providers()[0].startswith("CUDA") else "cpu"
        self._check_inputs(directory / "serve/model.onnx")
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


def _session(network: bytes, path: Path, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    missing = None if device == "cpu" else _missing_for_cuda()
    if device == "gpu" and missing:
        raise SettingsError(
            f"a GPU was asked for (SLIPWAY_DEVICE=gpu), and {missing} Or set SLIPWAY_DEVICE: auto takes a GPU where "
            "there is one, cpu never does."
        )
    cuda = [_CUDA] if device != "cpu" and not missing else []
    try:
        session = onnxruntime.InferenceSession(network, options, providers=[*cuda, "CPUExecutionProvider"])
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


def _parse_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BundleError(f"{path} holds {type(found).__name__}, an object is needed.")
    return found
