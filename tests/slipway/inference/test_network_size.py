"""A file of a kilobyte must not stand for gigabytes: the tensors of a row are counted before it is loaded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.contracts.bundle import onnx_check
from slipway.contracts.bundle.onnx_check import Refused
from slipway.contracts.bundle.onnx_subset_pb2 import ModelProto
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.errors import BundleError
from slipway.inference import network_size
from slipway.inference.network_size import check_size
from slipway.inference.operator_shapes import RULES

SCHEMA = Schema(
    contract=CONTRACT,
    usecase="loans",
    task="binary",
    features=(Feature("age", "number"), Feature("income", "number")),
    target="risk",
    classes=("good", "bad"),
    positive="bad",
)
HUGE = 1 << 40
node = helper.make_node


def constant(name: str, values: object, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, kind), name)


def network(*parts: onnx.NodeProto | onnx.TensorProto, opset: int = 17, width: int = 2) -> bytes:
    """A network of the nodes, from `numbers` to `answer`, and of the constants."""
    nodes = [part for part in parts if isinstance(part, onnx.NodeProto)]
    constants = [part for part in parts if isinstance(part, onnx.TensorProto)]
    numbers = helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, width])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "test", [numbers], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return model.SerializeToString()


def repeated(operator: str, second: str, times: int) -> list[onnx.NodeProto]:
    """An operator on its own output, `times` times."""
    names = ["numbers", *(f"t{step}" for step in range(times - 1)), "answer"]
    return [
        node(operator, [before, second or before], [after]) for before, after in zip(names, names[1:], strict=False)
    ]


def branches(inner: onnx.NodeProto, *constants: onnx.TensorProto) -> list[onnx.NodeProto | onnx.TensorProto]:
    output = helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)
    graph = helper.make_graph([inner], "inner", [], [output], list(constants))
    return [node("If", ["yes"], ["answer"], then_branch=graph, else_branch=graph), constant("yes", True, np.bool_)]


FOUR = [node("Unsqueeze", ["numbers", "two"], ["image"]), constant("two", [2, 3])]
GROWING = {
    "constant of shape": [node("ConstantOfShape", ["shape"], ["answer"]), constant("shape", [1 << 20, 1 << 20])],
    "expand": [node("Expand", ["numbers", "shape"], ["answer"]), constant("shape", [1 << 28, 2])],
    "tile": [node("Tile", ["numbers", "times"], ["answer"]), constant("times", [HUGE, 1])],
    "tile of tile": [*repeated("Tile", "times", 2), constant("times", [1, 1 << 14])],
    "many tiles side by side": [
        *(node("Tile", ["numbers", "times"], [f"t{step}"]) for step in range(300)),
        node("Sum", [f"t{step}" for step in range(300)], ["answer"]),
        constant("times", [1 << 19, 1]),
    ],
    "many constants of constants": [
        *(node("Tile", ["zeros", "times"], [f"t{step}"]) for step in range(300)),
        *(
            node("Add", [f"s{step}" if step else "numbers", f"t{step}"], [f"s{step + 1}" if step < 299 else "answer"])
            for step in range(300)
        ),
        constant("zeros", [[0.0, 0.0]], np.float32),
        constant("times", [1 << 19, 1]),
    ],
    "twice as much, forty times": repeated("Concat", "", 0)
    + [
        node("Concat", [before, before], [after], axis=1)
        for before, after in [("numbers", "c0"), *((f"c{step}", f"c{step + 1}") for step in range(40))]
    ],
    "resize by scales": [
        *FOUR,
        node("Resize", ["image", "", "scales"], ["answer"]),
        constant("scales", [1, 1, 1 << 15, 1 << 15], np.float32),
    ],
    "resize by sizes": [
        *FOUR,
        node("Resize", ["image", "", "", "sizes"], ["answer"]),
        constant("sizes", [1, 2, 1 << 15, 1 << 15]),
    ],
    "resize that keeps a ratio": [
        *FOUR,
        node("Resize", ["image", "", "", "sizes"], ["answer"], keep_aspect_ratio_policy="not_smaller", axes=[2, 3]),
        constant("sizes", [1 << 20, 1]),
    ],
    "upsample": [
        *FOUR,
        node("Upsample", ["image", "scales"], ["answer"]),
        constant("scales", [1, 1, 1 << 15, 1 << 15], np.float32),
    ],
    "pad": [node("Pad", ["numbers", "pads"], ["answer"]), constant("pads", [0, 1 << 30, 0, 0])],
    "pad of an old release": [node("Pad", ["numbers"], ["answer"], pads=[0, 1 << 30, 0, 0])],
    "one-hot": [
        node("OneHot", ["numbers", "depth", "values"], ["answer"]),
        constant("depth", HUGE),
        constant("values", [0, 1], np.float32),
    ],
    "range by its limit": [
        node("Range", ["zero", "limit", "step"], ["answer"]),
        constant("zero", 0.0, np.float32),
        constant("limit", 1e30, np.float32),
        constant("step", 1.0, np.float32),
    ],
    "range by its step": [
        node("Range", ["zero", "limit", "step"], ["answer"]),
        constant("zero", 0.0, np.float32),
        constant("limit", 1.0, np.float32),
        constant("step", 1e-12, np.float32),
    ],
    "a transposed convolution": [
        *FOUR,
        node("ConvTranspose", ["image", "kernel"], ["answer"], strides=[1, 1], output_padding=[1 << 15, 1 << 15]),
        constant("kernel", np.zeros((2, 1, 1, 1)), np.float32),
    ],
    "a transposed convolution of an output shape": [
        *FOUR,
        node("ConvTranspose", ["image", "kernel"], ["answer"], output_shape=[1 << 15, 1 << 15]),
        constant("kernel", np.zeros((2, 1, 1, 1)), np.float32),
    ],
    "a convolution of padding": [
        *FOUR,
        node("Conv", ["image", "kernel"], ["answer"], pads=[1 << 15] * 4),
        constant("kernel", np.zeros((1, 2, 1, 1)), np.float32),
    ],
    "a pool of padding": [*FOUR, node("MaxPool", ["image"], ["answer"], kernel_shape=[1, 1], pads=[1 << 15] * 4)],
    "an outer product": [
        node("Tile", ["numbers", "times"], ["long"]),
        node("Transpose", ["long"], ["wide"]),
        node("MatMul", ["wide", "long"], ["answer"]),
        constant("times", [1, 1 << 14]),
    ],
    "an outer product by stretching": [
        node("Tile", ["numbers", "times"], ["long"]),
        node("Transpose", ["long"], ["wide"]),
        node("Add", ["wide", "long"], ["answer"]),
        constant("times", [1, 1 << 14]),
    ],
    "an outer product in letters": [
        node("Tile", ["numbers", "times"], ["long"]),
        node("Einsum", ["long", "long"], ["answer"], equation="ab,ac->abc"),
        constant("times", [1, 1 << 14]),
    ],
    "an outer product by places": [
        node("ConstantOfShape", ["shape"], ["places"], value=constant("", [0])),
        node("Gather", ["numbers", "places"], ["answer"], axis=1),
        constant("shape", [1 << 14, 1 << 14]),
    ],
    "a comparison of all with all": [
        node("ConstantOfShape", ["shape"], ["one"]),
        node("Transpose", ["one"], ["other"]),
        node("Equal", ["one", "other"], ["answer"]),
        constant("shape", [1, 1 << 15]),
    ],
    "a wide memory": [
        node("Unsqueeze", ["numbers", "first"], ["steps"]),
        node("LSTM", ["steps", "w", "w"], ["answer"], hidden_size=1 << 30),
        constant("first", [0]),
        constant("w", [[[0.0]]], np.float32),
    ],
    "a size that is computed": [
        node("Shape", ["numbers"], ["shape"]),
        node("Mul", ["shape", "much"], ["larger"]),
        node("ConstantOfShape", ["larger"], ["answer"]),
        constant("much", [1 << 20, 1 << 20]),
    ],
    "a size that is cast, cut and joined": [
        node("Cast", ["much"], ["integers"], to=TensorProto.INT64),
        node("Slice", ["integers", "from", "to"], ["one"]),
        node("Concat", ["one", "one"], ["both"], axis=0),
        node("ReduceProd", ["both"], ["product"], keepdims=1),
        node("Tile", ["numbers", "two"], ["answer_before"]),
        node("ConstantOfShape", ["product"], ["answer"]),
        constant("much", [7.0, 1e6, 9.0], np.float32),
        constant("from", [1]),
        constant("to", [2]),
        constant("two", [1, 2]),
    ],
    "a size that wraps around": [
        node("Cast", ["below"], ["above"], to=TensorProto.UINT32),
        node("Cast", ["above"], ["shape"], to=TensorProto.INT64),
        node("ConstantOfShape", ["shape"], ["answer"]),
        constant("below", [-1]),
    ],
    "a size in a node": [
        node("Constant", [], ["shape"], value_ints=[HUGE, 1]),
        node("ConstantOfShape", ["shape"], ["answer"]),
    ],
    "a size of a single number": [
        node("Constant", [], ["one"], value_int=HUGE),
        node("Unsqueeze", ["one", "first"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["answer"]),
        constant("first", [0]),
    ],
    "inside of a branch": branches(node("ConstantOfShape", ["shape"], ["inside"]), constant("shape", [HUGE])),
    "a space that is moved": [
        *FOUR,
        node("Tile", ["image", "times"], ["many"]),
        node("Reshape", ["many", "shape"], ["again"]),
        node("Mul", ["again", "many"], ["answer"]),
        constant("times", [1, 1 << 13, 1, 1]),
        constant("shape", [-1, 1, 1, 1]),
    ],
}
UNTOLD = {
    "values of a row as a size": [
        node("Cast", ["numbers"], ["integers"], to=TensorProto.INT64),
        node("ConstantOfShape", ["integers"], ["answer"]),
    ],
    "values of a row as repeats": [
        node("Cast", ["numbers"], ["integers"], to=TensorProto.INT64),
        node("Tile", ["numbers", "integers"], ["answer"]),
    ],
    "the position of values as a size": [
        node("NonZero", ["numbers"], ["places"]),
        node("Expand", ["numbers", "places"], ["answer"]),
    ],
    "a number that no integer holds": [
        node("Cast", ["float"], ["shape"], to=TensorProto.INT64),
        node("ConstantOfShape", ["shape"], ["answer"]),
        constant("float", [1e30], np.float32),
    ],
    "no step": [
        node("Range", ["zero", "limit", "zero"], ["answer"]),
        constant("zero", 0.0, np.float32),
        constant("limit", 1.0, np.float32),
    ],
    "an endless step": [
        node("Range", ["zero", "limit", "step"], ["answer"]),
        constant("zero", 0.0, np.float32),
        constant("limit", np.inf, np.float32),
        constant("step", 1.0, np.float32),
    ],
    "endless scales": [
        *FOUR,
        node("Resize", ["image", "", "scales"], ["answer"]),
        constant("scales", [1, 1, np.inf, 1], np.float32),
    ],
    "a division by zero": [
        node("Div", ["one", "zero"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["answer"]),
        constant("one", [1]),
        constant("zero", [0]),
    ],
    "a convolution that stands still": [
        *FOUR,
        node("Conv", ["image", "kernel"], ["answer"], strides=[0, 0]),
        constant("kernel", np.zeros((1, 2, 1, 1)), np.float32),
    ],
    "an input that there is not": [node("Relu", ["nothing"], ["answer"])],
    "an axis that there is not": [node("Concat", ["numbers", "numbers"], ["answer"], axis=7)],
    "an equation that fits nothing": [node("Einsum", ["numbers"], ["answer"], equation="abcdef->a")],
}


def refusal(content: bytes) -> str:
    with pytest.raises(BundleError) as raised:
        check_size(onnx_check.check(content), SCHEMA)
    return str(raised.value)


@pytest.mark.parametrize("parts", GROWING.values(), ids=GROWING)
def test_a_network_that_makes_gigabytes_of_a_few_bytes_is_refused(parts):
    content = network(*parts)
    assert len(content) < 150_000
    assert "makes the tensors of a row have more than 268435456 elements at once" in refusal(content)


@pytest.mark.parametrize("parts", UNTOLD.values(), ids=UNTOLD)
def test_a_network_whose_size_cannot_be_told_is_refused(parts):
    assert "makes cannot be told" in refusal(network(*parts))


@pytest.mark.parametrize(
    "operator",
    [
        "Multinomial",
        "Bernoulli",
        "RandomNormalLike",
        "RandomUniformLike",
        "CenterCropPad",
        "Col2Im",
        "AffineGrid",
        "HannWindow",
        "MelWeightMatrix",
        "STFT",
        "StringSplit",
        "Scan",
        "SequenceMap",
        "SplitToSequence",
        "Optional",
        "Unique",
        "MaxUnpool",
        "AnOperatorOfTomorrow",
    ],
)
def test_an_operator_without_a_rule_is_refused(operator):
    content = network(node(operator, ["numbers"], ["answer"]))
    assert f"the operator {operator} is none of those whose size can be told" in refusal(content)


@pytest.mark.parametrize("shape", [[-5], [3, -1]])
def test_a_shape_below_zero_is_refused(shape):
    parts = node("ConstantOfShape", ["shape"], ["answer"]), constant("shape", shape)
    assert f"makes a tensor of the shape {shape}" in refusal(network(*parts))


def test_a_long_network_of_small_tensors_is_no_large_one():
    """A thousand products of 1536 x 1536 have two thousand million elements, of which few are needed at a time."""
    steps = [node("Add", ["square", "some"], ["t0"]), node("ReduceMax", ["numbers"], ["some"], keepdims=0)]
    products = [node("MatMul", [f"t{step}", "t0"], [f"t{step + 1}"]) for step in range(1000)]
    content = network(*steps[::-1], *products, node("ReduceMin", ["t1000"], ["answer"]), _square())
    check_size(onnx_check.check(content), SCHEMA)


def _square() -> onnx.TensorProto:
    return constant("square", np.zeros((1536, 1536)), np.float32)


def test_the_width_of_the_inputs_is_the_schemas_and_not_the_files():
    content = network(node("Tile", ["numbers", "times"], ["answer"]), constant("times", [1, 1 << 26]), width=1)
    check_size(onnx_check.check(content), SCHEMA)
    wider = Schema(**{**{f: getattr(SCHEMA, f) for f in SCHEMA.__struct_fields__}, "features": SCHEMA.features * 2})
    with pytest.raises(BundleError, match="at once"):
        check_size(onnx_check.check(content), wider)


def _are_arrays(*values: object) -> bool:
    return all(isinstance(value, np.ndarray) for value in values)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_rule_gives_the_shapes_and_values_of_onnxs_own_test_cases():
    """The cases' inputs become constants. A shape may be larger where windows or places are counted at most."""
    from onnx.backend.test.case.node import collect_testcases

    compared, untold = set(), []
    for case in collect_testcases(None):
        model, ((inputs, outputs),) = case.model, case.data_sets
        operators = {each.op_type for each in model.graph.node}
        if not operators <= {*RULES, "Constant", "If"} or not _are_arrays(*inputs, *outputs):
            continue
        model.graph.initializer.extend(
            numpy_helper.from_array(value, declared.name)
            for declared, value in zip(model.graph.input, inputs, strict=False)
        )
        try:
            found = network_size._Walk().through(ModelProto.FromString(model.SerializeToString()).graph, {})
        except Refused:
            untold.append(case.name)
            continue
        for tensor, expected in zip(found, outputs, strict=True):
            assert len(tensor.shape) == np.ndim(expected), case.name
            assert all(size >= real for size, real in zip(tensor.shape, np.shape(expected), strict=True)), case.name
            if tensor.value is not None:
                assert np.allclose(tensor.value.astype(float), expected.astype(float), 1e-4, equal_nan=True), case.name
        compared |= operators
    assert len(compared) > 100
    assert len(untold) < 10
