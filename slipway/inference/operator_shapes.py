"""Shape rules: the shapes of an operator's outputs, by its inputs' (https://onnx.ai/onnx/operators/).

Only operators with a rule may be in a network: those that networks of layers export to, and whose outputs are as large
as shapes and sizes say. What makes tensors by chance, repeats as often as data says, or works on sequences has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slipway.contracts.bundle.onnx_subset_pb2 import AttributeProto
from slipway.inference.shape_values import Value

Shape = tuple[int, ...]


class UnknownSize(ValueError):
    """A size that does not follow from the inputs' shapes."""


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor: its shape, and its values where they are few and follow from constants and shapes.

    A `constant` follows from constants alone: ONNX Runtime computes it when it loads the network, and keeps it.
    """

    shape: Shape
    value: Value | None = None
    constant: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Call:
    """A node, its inputs (None for one that is left out), its attributes by name, and how many outputs it has."""

    operator: str
    inputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, AttributeProto]
    outputs: int

    def shape(self, place: int = 0) -> Shape:
        """Return the shape of an input that must be there."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise UnknownSize(f"its input {place} is not there")
        return found.shape

    def numbers(self, name: str, place: int = -1) -> list[float] | None:
        """Return the numbers of an attribute, or of the input at `place`; None where there is neither."""
        if attribute := self.attributes.get(name):
            one = (attribute.i,) if attribute.HasField("i") else (attribute.f,) if attribute.HasField("f") else ()
            return [*one, *attribute.ints, *attribute.floats]
        given = self.inputs[place] if 0 <= place < len(self.inputs) else None
        if given is None:
            return None
        if given.value is None:
            raise UnknownSize(f"its {name} depend on more than constants and shapes")
        return list(given.value.flatten().tolist())

    def ints(self, name: str, place: int = -1) -> list[int] | None:
        found = self.numbers(name, place)
        return None if found is None else [int(number) for number in found]

    def one(self, name: str, default: int, place: int = -1) -> int:
        found = self.ints(name, place)
        return found[0] if found else default

    def text(self, name: str) -> str:
        found = self.attributes.get(name)
        return found.s.decode("ascii", "replace") if found else ""


Rule = Callable[[Call], Sequence[Shape]]


def _same(call: Call) -> Sequence[Shape]:
    """The shape of the first input, for each output."""
    return [call.shape()]


def asked_shape(call: Call) -> Shape:
    """Return the part of the input's shape that the operator Shape gives."""
    end = call.ints("end")
    return call.shape()[call.one("start", 0) : end[0] if end else None]


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape of shapes that are stretched to each other."""
    return tuple(np.broadcast_shapes(*shapes))


def _broadcast(call: Call) -> Sequence[Shape]:
    return [broadcast(*(given.shape for given in call.inputs if given))]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < max(rank, 1):
        raise UnknownSize(f"its axis {axis} is not one of {rank}")
    return axis % max(rank, 1)


def _reduced(call: Call) -> Sequence[Shape]:
    shape = call.shape()
    given = call.ints("axis") if call.operator.startswith("Arg") else call.ints("axes", 1)
    if not given and call.one("noop_with_empty_axes", 0):
        return [shape]
    default = [0] if call.operator.startswith("Arg") else list(range(len(shape)))
    axes = {_axis(axis, len(shape)) for axis in given or default}
    if call.one("keepdims", 1):
        return [tuple(1 if axis in axes else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _matmul(call: Call) -> Sequence[Shape]:
    left, right = call.shape(0), call.shape(1)
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    return [(*broadcast(left[:-2], right[:-2]), *rows, *columns)]


def _gemm(call: Call) -> Sequence[Shape]:
    left, right = call.shape(0), call.shape(1)
    return [(left[call.one("transA", 0)], right[1 - call.one("transB", 0)])]


def _einsum(call: Call) -> Sequence[Shape]:
    terms, arrow, result = call.text("equation").replace(" ", "").partition("->")
    if not arrow:  # the output has each letter that stands once, in their order
        result = "..." * ("..." in terms) + "".join(sorted(x for x in terms if x.isalpha() and terms.count(x) == 1))
    sizes: dict[str, int] = {}
    rest: Shape = ()
    for place, term in enumerate(terms.split(",")):
        shape, (before, dots, after) = call.shape(place), term.partition("...")
        middle = len(shape) - len(before) - len(after)
        if middle < 0 or (middle and not dots):
            raise UnknownSize("its equation does not fit its inputs")
        rest = broadcast(rest, shape[len(before) : len(before) + middle])
        for letter, size in zip(before + after, shape[: len(before)] + shape[len(before) + middle :], strict=True):
            sizes[letter] = max(size, sizes.get(letter, 0))
    before, dots, after = result.partition("...")
    return [(*(sizes[x] for x in before), *(rest if dots else ()), *(sizes[x] for x in after))]


def _windows(call: Call, spatial: Shape, kernel: Sequence[int]) -> Shape:
    """Return how many windows of a kernel fit along each axis (Conv, pools)."""
    rank = len(spatial)
    strides, dilations = call.ints("strides") or [1] * rank, call.ints("dilations") or [1] * rank
    pads = call.ints("pads") or [0] * 2 * rank
    if call.text("auto_pad").startswith("SAME"):
        return tuple(-(-size // stride) for size, stride in zip(spatial, strides, strict=True))
    found = []
    for axis, (size, width) in enumerate(zip(spatial, kernel, strict=True)):
        room = size + pads[axis] + pads[axis + rank] - dilations[axis] * (width - 1) - 1
        found.append((-(-room // strides[axis]) if call.one("ceil_mode", 0) else room // strides[axis]) + 1)
    return tuple(found)


def _conv(call: Call) -> Sequence[Shape]:
    images, weights = call.shape(0), call.shape(1)
    return [(images[0], weights[0], *_windows(call, images[2:], weights[2:]))]


def _pooled(call: Call) -> Sequence[Shape]:
    images = call.shape()
    return [(*images[:2], *_windows(call, images[2:], call.ints("kernel_shape") or ()))]


def _conv_transposed(call: Call) -> Sequence[Shape]:
    images, weights = call.shape(0), call.shape(1)
    rank, channels = len(images) - 2, weights[1] * call.one("group", 1)
    strides, dilations = call.ints("strides") or [1] * rank, call.ints("dilations") or [1] * rank
    pads, more = call.ints("pads") or [0] * 2 * rank, call.ints("output_padding") or [0] * rank
    if asked := call.ints("output_shape"):
        return [(images[0], channels, *asked[-rank:])]
    if call.text("auto_pad").startswith("SAME"):
        return [(images[0], channels, *(size * stride for size, stride in zip(images[2:], strides, strict=True)))]
    spatial = (
        strides[axis] * (images[axis + 2] - 1) + more[axis] + (weights[axis + 2] - 1) * dilations[axis] + 1
        - pads[axis] - pads[axis + rank]
        for axis in range(rank)
    )  # fmt: skip
    return [(images[0], channels, *spatial)]


def _concatenated(call: Call) -> Sequence[Shape]:
    shapes = [given.shape for given in call.inputs if given]
    axis = _axis(call.one("axis", 0), len(shapes[0]))
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _split(call: Call) -> Sequence[Shape]:
    shape = call.shape()
    axis = _axis(call.one("axis", 0), len(shape))
    sizes = call.ints("split", 1)
    if not sizes:
        part, others = -(-shape[axis] // call.outputs), call.outputs - 1
        sizes = [part] * others + [shape[axis] - part * others]
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _sliced(call: Call) -> Sequence[Shape]:
    shape = list(call.shape())
    starts, ends = call.ints("starts", 1) or [], call.ints("ends", 2) or []
    axes, steps = call.ints("axes", 3) or list(range(len(starts))), call.ints("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = shape[_axis(axis, len(shape))]
        beyond = step < 0 and end < -size
        shape[axis] = len(range(*slice(start, None if beyond else end, step).indices(size)))
    return [tuple(shape)]


def _gathered(call: Call) -> Sequence[Shape]:
    shape = call.shape(0)
    axis = _axis(call.one("axis", 0), len(shape))
    return [(*shape[:axis], *call.shape(1), *shape[axis + 1 :])]


def _gathered_nd(call: Call) -> Sequence[Shape]:
    places = call.shape(1)
    return [(*places[:-1], *call.shape(0)[call.one("batch_dims", 0) + places[-1] :])]


def _reshaped(call: Call) -> Sequence[Shape]:
    shape = call.shape()
    asked = call.ints("shape", 1) or []
    if not call.one("allowzero", 0):
        asked = [shape[axis] if size == 0 else size for axis, size in enumerate(asked)]
    others = math.prod(size for size in asked if size != -1)
    return [tuple(math.prod(shape) // others if size == -1 and others else size for size in asked)]


def _flattened(call: Call) -> Sequence[Shape]:
    shape, axis = call.shape(), call.one("axis", 1)
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _transposed(call: Call) -> Sequence[Shape]:
    shape = call.shape()
    return [tuple(shape[axis] for axis in call.ints("perm") or reversed(range(len(shape))))]


def _squeezed(call: Call) -> Sequence[Shape]:
    shape = call.shape()
    given = call.ints("axes", 1)
    axes = {_axis(axis, len(shape)) for axis in given} if given else {a for a, size in enumerate(shape) if size == 1}
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _unsqueezed(call: Call) -> Sequence[Shape]:
    shape, axes = list(call.shape()), call.ints("axes", 1) or []
    rank = len(shape) + len(axes)
    for axis in sorted(_axis(axis, rank) for axis in axes):
        shape.insert(axis, 1)
    return [tuple(shape)]


def _expanded(call: Call) -> Sequence[Shape]:
    return [broadcast(call.shape(), tuple(call.ints("shape", 1) or ()))]


def _tiled(call: Call) -> Sequence[Shape]:
    return [tuple(size * times for size, times in zip(call.shape(), call.ints("repeats", 1) or (), strict=True))]


def _padded(call: Call) -> Sequence[Shape]:
    shape, pads = list(call.shape()), call.ints("pads", 1) or []
    axes = call.ints("axes", 3) or list(range(len(shape)))
    for place, axis in enumerate(axes):
        shape[axis] += pads[place] + pads[place + len(axes)]
    return [tuple(shape)]


def _resized(call: Call) -> Sequence[Shape]:
    shape = list(call.shape())
    axes = call.ints("axes") or list(range(len(shape)))
    late = len(call.inputs) > 2
    sizes = call.ints("sizes", 3) if late else None
    scales = None if sizes else call.numbers("scales", 2 if late else 1)
    if sizes and call.text("keep_aspect_ratio_policy") not in ("", "stretch"):  # at most by the largest of the ratios
        scales = [max(-(-size // shape[axis]) for size, axis in zip(sizes, axes, strict=True))] * len(axes)
        sizes = None
    for place, axis in enumerate(axes):
        shape[axis] = sizes[place] if sizes else math.floor(shape[axis] * scales[place]) if scales else shape[axis]
    return [tuple(shape)]


def _constant_of_shape(call: Call) -> Sequence[Shape]:
    return [tuple(call.ints("input", 0) or ())]


def _counted(call: Call) -> Sequence[Shape]:
    start, limit, delta = ((call.numbers("number", place) or [math.nan])[0] for place in range(3))
    steps = (limit - start) / delta if delta else math.nan
    if not math.isfinite(steps):
        raise UnknownSize("its steps have no number")
    return [(max(0, math.ceil(steps)),)]


def _one_hot(call: Call) -> Sequence[Shape]:
    shape = list(call.shape())
    axis = call.one("axis", -1)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, call.one("depth", 0, 1))
    return [tuple(shape)]


def _top(call: Call) -> Sequence[Shape]:
    shape = list(call.shape())
    shape[_axis(call.one("axis", -1), len(shape))] = call.one("k", 0, 1)
    return [tuple(shape)]


def _depth_to_space(call: Call) -> Sequence[Shape]:
    rows, channels, height, width = call.shape()
    block = call.one("blocksize", 1)
    return [(rows, channels // block**2, height * block, width * block)]


def _space_to_depth(call: Call) -> Sequence[Shape]:
    rows, channels, height, width = call.shape()
    block = call.one("blocksize", 1)
    return [(rows, channels * block**2, height // block, width // block)]


def _recurrent(call: Call) -> Sequence[Shape]:
    steps, rows = call.shape()[:2]
    directions = 2 if call.text("direction") == "bidirectional" else 1
    hidden = call.one("hidden_size", 0)
    if call.one("layout", 0):
        steps, rows = rows, steps
        return [(rows, steps, directions, hidden), *[(rows, directions, hidden)] * 2]
    return [(steps, directions, rows, hidden), *[(directions, rows, hidden)] * 2]


_SAME = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh CumSum "
    "DequantizeLinear Dropout Elu Erf Exp EyeLike Floor Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity "
    "InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization "
    "MeanVarianceNormalization Mish Neg Not QuantizeLinear RMSNormalization Reciprocal Relu ReverseSequence Round "
    "Scatter ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh "
    "ThresholdedRelu Trilu Binarizer LabelEncoder Normalizer Scaler Imputer"
)
_BROADCAST = (
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min "
    "Mod Mul Or PRelu Pow Sub Sum Where Xor"
)
_REDUCE = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare"
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(_REDUCE.split(), _reduced),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pooled),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(
        ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"),
        lambda call: [(*call.shape()[:2], *(1 for _ in call.shape()[2:]))],
    ),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    "BatchNormalization": lambda call: [call.shape(), *[call.shape()[1:2]] * (call.outputs - 1)],
    "Concat": _concatenated,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transposed,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "GatherElements": lambda call: [call.shape(1)],
    "GatherND": _gathered_nd,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "NonZero": lambda call: [(len(call.shape()), math.prod(call.shape()))],
    "OneHot": _one_hot,
    "Pad": _padded,
    "Range": _counted,
    "Reshape": _reshaped,
    "Shape": lambda call: [(len(asked_shape(call)),)],
    "Size": lambda call: [()],
    "Slice": _sliced,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": _tiled,
    "TopK": _top,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
