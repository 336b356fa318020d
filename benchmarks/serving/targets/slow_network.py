"""Slow network that takes about 2 ms, whatever the batch: convolutions gain little from more rows at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving.targets import network

DEADLINE_MS = 300
LAYERS, SIDE, CHANNELS = 24, 16, 64


def _write(path: Path) -> None:
    """Write the network over the same 20 numbers, reshaped to an image for convolutions."""
    rng = np.random.default_rng(4)
    shapes = {"spread": (network.FEATURES, SIDE * SIDE), "first": (CHANNELS, 1, 3, 3), "last": (CHANNELS, 2)}
    shapes["layer"] = (CHANNELS, CHANNELS, 3, 3)
    constants = [
        numpy_helper.from_array(rng.normal(scale=0.05, size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(numpy_helper.from_array(np.array([-1, 1, SIDE, SIDE], np.int64), "picture"))
    nodes = [
        helper.make_node("MatMul", ["numbers", "spread"], ["wide"]),
        helper.make_node("Reshape", ["wide", "picture"], ["square"]),
        helper.make_node("Conv", ["square", "first"], ["layer0"], pads=[1, 1, 1, 1]),
    ]
    for index in range(LAYERS):
        nodes.append(helper.make_node("Conv", [f"layer{index}", "layer"], [f"sum{index}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Tanh", [f"sum{index}"], [f"layer{index + 1}"]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"layer{LAYERS}"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"]),
    ]
    inputs = [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, network.FEATURES])]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, len(network.CLASSES)])]
    graph = helper.make_graph(nodes, network.USECASE, inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


SLOW = network.Network(network.SCHEMA, _write, network.rows, DEADLINE_MS)
