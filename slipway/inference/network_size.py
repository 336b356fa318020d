"""Size of a network: how many numbers its tensors hold at once for one row, found before it is loaded.

A file of a kilobyte can ask for any amount of memory: by one operator, by many in a row, or by sizes that it computes.
So every shape is followed through the network, as ONNX Runtime will compute it, and the sum of all tensors that are
needed at a time is limited. What a shape depends on must be constants and other shapes: no network may let the values
of a row say how much memory it takes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from slipway.contracts.bundle.onnx_check import MOST_ELEMENTS, Refused
from slipway.contracts.bundle.onnx_subset_pb2 import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from slipway.contracts.schema import Schema
from slipway.errors import BundleError
from slipway.inference.operator_shapes import RULES, Call, Shape, Tensor, asked_shape, broadcast
from slipway.inference.shape_values import MOST_VALUES, compute, of_tensor


def check_size(model: ModelProto, schema: Schema, name: str = "model.onnx") -> None:
    """Check that the tensors of one row have at most MOST_ELEMENTS elements at once, constants included.

    Raises:
        BundleError: they have more, or a size cannot be determined.
    """
    try:
        _Walk().through(model.graph, _inputs(schema))
    except Refused as error:
        raise BundleError(f"{name} is refused: {error}.") from None


def _inputs(schema: Schema) -> dict[str, Tensor]:
    """Return the inputs for one row. Of the file's own word only the names count, which are compared later."""
    found = {"numbers": Tensor((1, len(schema.numbers))), "codes": Tensor((1, len(schema.codes)))}
    for feature in schema.images:
        found["images"] = Tensor((1, *(feature.size or (0, 0)), feature.channels or 0))
    return found


class _Walk:
    """Follows a graph's nodes in their order, and those of the graphs inside of them.

    `_kept` counts the elements of constants, and of what follows from constants alone; `_live` those of the other
    tensors from the node that makes them to the last one that needs them.
    """

    def __init__(self) -> None:
        self._kept = self._live = 0

    def through(self, graph: GraphProto, known: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the graph's outputs; `known` are tensors that it may use, by name."""
        tensors, before = dict(known), self._live
        uses = Counter(_names_used(graph))
        for constant in graph.initializer:
            tensors[constant.name] = self._counted("a constant", _of_constant(constant))
        for node in graph.node:
            outputs = dict(zip(node.output, self._made_by(node, tensors), strict=False))
            tensors |= {name: self._counted(f"the operator {node.op_type}", made) for name, made in outputs.items()}
            needed = list(_names_used_by(node))
            uses.subtract(needed)
            done = {name for name in (*needed, *outputs) if not uses[name] and name in tensors and name not in known}
            self._live -= sum(tensors[name].elements for name in done if not tensors[name].constant)
        self._live = before
        return [tensors[output.name] for output in graph.output if output.name in tensors]

    def _counted(self, maker: str, tensor: Tensor) -> Tensor:
        if any(size < 0 for size in tensor.shape):
            raise Refused(f"{maker} makes a tensor of the shape {list(tensor.shape)}")
        if tensor.constant:
            self._kept += tensor.elements
        else:
            self._live += tensor.elements
        if self._kept + self._live > MOST_ELEMENTS:
            raise Refused(f"{maker} makes the tensors of a row have more than {MOST_ELEMENTS} elements at once")
        return tensor

    def _made_by(self, node: NodeProto, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        try:
            return self._outputs(node, tensors)
        except Refused:
            raise
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            raise Refused(f"the size that the operator {node.op_type} makes cannot be told: {error}") from None

    def _outputs(self, node: NodeProto, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Constant":
            return [_of_attribute(node.attribute)]
        if node.op_type == "If":
            return self._either(attributes, tensors)
        if node.op_type not in RULES:
            raise Refused(f"the operator {node.op_type} is none of those whose size can be told")
        inputs = tuple(tensors[name] if name else None for name in node.input)
        call = Call(node.op_type, inputs, attributes, len(node.output))
        shapes = list(RULES[node.op_type](call))
        shapes += shapes[:1] * (len(node.output) - len(shapes))
        constant = all(given.constant for given in inputs if given)
        first = Tensor(shapes[0], _value(call, shapes[0]), constant)
        return [first, *(Tensor(shape, constant=constant) for shape in shapes[1:])]

    def _either(self, attributes: Mapping[str, AttributeProto], tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what either branch may give, each output as large as the larger one."""
        branches = [self.through(attributes[name].g, tensors) for name in ("then_branch", "else_branch")]
        return [Tensor(broadcast(one.shape, other.shape)) for one, other in zip(*branches, strict=True)]


def _names_used(graph: GraphProto) -> Iterator[str]:
    """Yield each name as often as the graph needs it: for its nodes, the graphs inside of them, and its outputs."""
    for node in graph.node:
        yield from _names_used_by(node)
    for output in graph.output:
        yield output.name


def _names_used_by(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _names_used(attribute.g)


def _value(call: Call, shape: Shape) -> np.ndarray | None:
    """Compute the values of an output, where they are few and follow from shapes and constants."""
    if math.prod(shape) > MOST_VALUES or any(size < 0 for size in shape):
        return None
    if call.operator == "Shape":
        return np.array(asked_shape(call), np.int64)
    if call.operator == "Size":
        return np.array(math.prod(call.shape()), np.int64)
    if call.operator == "ConstantOfShape":
        given = call.attributes.get("value")
        fill = of_tensor(given.t) if given else np.zeros(1, np.float32)
        return None if fill is None else np.full(shape, fill.flatten()[0])
    values = [given.value if given else None for given in call.inputs]
    if call.operator in ("Reshape", "Unsqueeze", "Squeeze", "Slice", "Tile", "Expand"):
        values = values[:1]  # the others say where, and were read for the shape
    return compute(call.operator, values, shape, call.ints)


def _of_constant(tensor: TensorProto) -> Tensor:
    return Tensor(tuple(tensor.dims), of_tensor(tensor), constant=True)


def _of_attribute(attributes: list[AttributeProto]) -> Tensor:
    """Return the tensor that a node Constant holds, in one of the attribute's forms."""
    (attribute,) = attributes
    if attribute.HasField("t"):
        return _of_constant(attribute.t)
    if attribute.HasField("i") or attribute.HasField("f"):
        return Tensor((), np.array(attribute.i if attribute.HasField("i") else attribute.f), constant=True)
    values = attribute.ints or attribute.floats
    return Tensor((len(values),), np.array(values) if 0 < len(values) <= MOST_VALUES else None, constant=True)
