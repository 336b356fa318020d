"""Networks over images of 32 × 32 pixels, as `cifar10` has them: a convolutional one, and one of dense layers.

A batch reads the weights of the dense layers once for all of its rows.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving.targets import network
from slipway.contracts.schema import Feature
from slipway.inference import encode_png

SIZE, CHANNELS = 32, 3
CLASSES = tuple(f"class_{k}" for k in range(10))
SCHEMA = msgspec.structs.replace(
    network.SCHEMA,
    task="multiclass",
    features=(Feature("image", "image", size=(SIZE, SIZE), channels=CHANNELS),),
    classes=CLASSES,
    positive=None,
    threshold=None,
)
FILTERS = (32, 64, 64)
DEADLINE_MS = 10_000  # 64 connections wait for one core, and nothing is to be refused


def rows(count: int) -> list[dict[str, Any]]:
    """Make PNG files in base64, smooth as photographs are."""
    found = []
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, CHANNELS))
        pixels = np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)
        found.append({"image": {"b64": base64.b64encode(encode_png(pixels)).decode()}})
    return found


class _Graph:
    """Network under construction: layers follow one another, from `images` on."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(4)
        self._nodes: list[onnx.NodeProto] = []
        self._constants = [numpy_helper.from_array(np.float32(255), "white")]
        self._last = "images"
        self.then("Cast", to=TensorProto.FLOAT)
        self.then("Div", "white")

    def then(self, operator: str, *constants: str, **attributes: Any) -> None:
        made = f"made{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, [self._last, *constants], [made], **attributes))
        self._last = made

    def weights(self, *shape: int) -> str:
        """Draw weights that are small enough for the number of inputs that no layer saturates."""
        name = f"weights{len(self._constants)}"
        inputs = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        values = self._rng.normal(scale=inputs**-0.5, size=shape).astype(np.float32)
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def dense(self, *widths: int) -> None:
        self.then("Flatten")
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            self.then("MatMul", self.weights(inputs, outputs))
            self.then("Softmax" if outputs == len(CLASSES) else "Relu")

    def save(self, path: Path) -> None:
        inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, [None, SIZE, SIZE, CHANNELS])]
        outputs = [helper.make_tensor_value_info(self._last, TensorProto.FLOAT, [None, len(CLASSES)])]
        graph = helper.make_graph(self._nodes, network.USECASE, inputs, outputs, self._constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _convolutions(path: Path) -> None:
    graph = _Graph()
    graph.then("Transpose", perm=[0, 3, 1, 2])
    for index, (inputs, outputs) in enumerate(zip((CHANNELS, *FILTERS), FILTERS, strict=False)):
        graph.then("Conv", graph.weights(outputs, inputs, 3, 3))
        graph.then("Relu")
        if index < 2:
            graph.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.dense(4 * 4 * FILTERS[-1], 64, len(CLASSES))
    graph.save(path)


def _dense(path: Path) -> None:
    graph = _Graph()
    graph.dense(SIZE * SIZE * CHANNELS, 512, 512, len(CLASSES))
    graph.save(path)


CONVOLUTIONS = network.Network(SCHEMA, _convolutions, rows, DEADLINE_MS)
DENSE = network.Network(SCHEMA, _dense, rows, DEADLINE_MS)
