"""Small ONNX networks for tests, built with the `onnx` helpers alone: no TensorFlow, a millisecond each.

Inputs and output are those of the bundle's contract: `numbers`, `codes`, `images` in, float32 [n, k] out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
FAULTY_ABOVE = 90.0
_HANGING = 1000  # products of 7 GFLOP each


def tabular(
    path: Path,
    numbers: int,
    codes: int,
    outputs: int,
    *,
    bias: float = 0.0,
    slow: int = 0,
    fault: str | None = None,
) -> None:
    """Build a linear layer over numbers (missing is zero) and codes, and a softmax for more than one output.

    `bias` is added to the first output, so that two bundles answer differently. `slow` adds that many products with a
    768 x 768 matrix, whose result does not change the answer. Rows whose first number is above FAULTY_ABOVE come out as
    NaN, raise, or take half a minute (`fault` is "nan", "error" or "hang"): what no probe finds.
    """
    nodes, constants, parts = [], [], []
    inputs = []
    if numbers:
        inputs.append(helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, numbers]))
        constants += [_constant("zero", np.zeros(1)), _constant("per_number", _weights(numbers, outputs) / 100)]
        nodes += [
            helper.make_node("IsNaN", ["numbers"], ["missing"]),
            helper.make_node("Where", ["missing", "zero", "numbers"], ["present"]),
            helper.make_node("MatMul", ["present", "per_number"], ["from_numbers"]),
        ]
        parts.append("from_numbers")
        if fault is not None:
            _spoil(nodes, constants, fault)
            parts.append("spoiled")
    if codes:
        inputs.append(helper.make_tensor_value_info("codes", TensorProto.INT64, [None, codes]))
        constants.append(_constant("per_code", _weights(codes, outputs) / 10))
        nodes += [
            helper.make_node("Cast", ["codes"], ["as_float"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["as_float", "per_code"], ["from_codes"]),
        ]
        parts.append("from_codes")
    nodes.append(helper.make_node("Sum", parts, ["linear"]))
    _finish(path, inputs, nodes, constants, outputs, bias, slow)


def images(path: Path, size: tuple[int, int], channels: int, outputs: int, *, bias: float = 0.0) -> None:
    """Build a linear layer over the pixels and a softmax."""
    pixels = size[0] * size[1] * channels
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, [None, *size, channels])]
    constants = [
        numpy_helper.from_array(np.array([-1, pixels], np.int64), "flat"),
        _constant("per_pixel", _weights(pixels, outputs) / 255 / 8),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["as_float", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "per_pixel"], ["linear"]),
    ]
    _finish(path, inputs, nodes, constants, outputs, bias, slow=0)


def _finish(path: Path, inputs: list, nodes: list, constants: list, outputs: int, bias: float, slow: int) -> None:
    first = np.zeros(outputs)
    first[0] = bias
    constants.append(_constant("bias", first))
    nodes.append(helper.make_node("Add", ["linear", "bias"], ["logits"]))
    last = "logits"
    if slow:
        last = _slow_down(nodes, constants, outputs, slow)
    nodes.append(helper.make_node("Softmax" if outputs > 1 else "Identity", [last], ["answer"]))
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, outputs])
    graph = helper.make_graph(nodes, "test", inputs, [answer], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9), path)


def _spoil(nodes: list, constants: list, fault: str) -> None:
    constants += [
        numpy_helper.from_array(np.array([0], np.int64), "first"),
        _constant("limit", np.array([FAULTY_ABOVE])),
    ]
    nodes += [
        helper.make_node("Gather", ["numbers", "first"], ["first_number"], axis=1),
        helper.make_node("Greater", ["first_number", "limit"], ["beyond"]),
    ]
    if fault == "nan":
        constants.append(_constant("nan", np.array([np.nan])))
        nodes.append(helper.make_node("Where", ["beyond", "nan", "zero"], ["spoiled"]))
    elif fault == "error":  # an index that there is not
        nodes += [
            helper.make_node("Cast", ["beyond"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zero", "index"], ["spoiled"]),
        ]
    else:
        _hang(nodes, constants)


def _hang(nodes: list, constants: list) -> None:
    """Add a thousand products that depend on the row, so that they cannot be folded to a constant."""
    constants.append(_constant("hanging", np.eye(1536)))
    steps = [helper.make_node("Add", ["hanging", "greatest"], ["hanging0"])]
    steps += [
        helper.make_node("MatMul", [f"hanging{step}", "hanging0"], [f"hanging{step + 1}"]) for step in range(_HANGING)
    ]
    steps.append(helper.make_node("ReduceMin", [f"hanging{_HANGING}"], ["late"], keepdims=0))
    at_once = [helper.make_node("Identity", ["zero"], ["zero_again"])]
    late, again = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("late", "zero_again"))
    nodes += [
        helper.make_node("ReduceMax", ["first_number"], ["greatest"], keepdims=0),
        helper.make_node("Greater", ["greatest", "limit"], ["any_beyond"]),
        helper.make_node(
            "If",
            ["any_beyond"],
            ["spoiled"],
            then_branch=helper.make_graph(steps, "hang", [], [late]),
            else_branch=helper.make_graph(at_once, "go", [], [again]),
        ),
    ]


def _slow_down(nodes: list, constants: list, outputs: int, times: int) -> str:
    width = 768
    constants += [
        _constant("widen", np.zeros((outputs, width))),
        _constant("square", np.eye(width)),
        _constant("narrow", np.zeros((width, outputs))),
    ]
    nodes.append(helper.make_node("MatMul", ["logits", "widen"], ["slow0"]))
    for step in range(times):
        nodes.append(helper.make_node("MatMul", [f"slow{step}", "square"], [f"slow{step + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"slow{times}", "narrow"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["logits", "nothing"], ["slowly"]))
    return "slowly"


def _weights(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(rows, columns))


def _constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, np.float32), name)
