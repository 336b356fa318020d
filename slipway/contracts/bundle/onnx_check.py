"""Check of an untrusted ONNX file before ONNX Runtime loads it: is it only a network, of the size that its bytes have?

The server has no `onnx` package: onnx_subset.proto holds the fields that can reach outside the file, or make much of
little. Whatever our own exports do not contain and could do harm is refused. ONNX Runtime parses with protobuf, too:
a field that stands twice, or has a number that is not known, is to both the same, and needs no rule here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from slipway.contracts.bundle.field_limit import check_field_count
from slipway.contracts.bundle.onnx_subset_pb2 import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
)
from slipway.errors import BundleError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
MOST_ELEMENTS = 1 << 28  # of one tensor, and of all tensors of a row: 1 GiB of float32
_MOST_DEPTH = 4
_SHAPE_VALUES = 16
_SPARSE = "it holds a sparse tensor: a few bytes may stand for gigabytes"
_REFUSED = {
    "Loop": "may never end",
    "RandomNormal": "makes a tensor of any size",
    "RandomUniform": "makes a tensor of any size",
}
# onnx.TensorProto.DataType: bits of an element; strings (8) have no fixed size.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 0, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128}
_BITS |= {16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
_COMPLEX = (14, 15)
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class Refused(ValueError):
    """A part of the file that must not be loaded; the text is the reason."""


def check(content: bytes, name: str = "model.onnx") -> ModelProto:
    """Check that nothing in the file's bytes is dangerous, and return what they hold; the name is for messages.

    How large the network is that they describe, slipway.inference.network_size finds.

    Raises:
        BundleError: it is no ONNX file, or holds what must not reach ONNX Runtime; says what.
    """
    try:
        model = parse(content)
        _check_model(model)
    except (DecodeError, ValueError) as error:
        kind = "is refused" if isinstance(error, Refused) else "is no ONNX file"
        raise BundleError(f"{name} {kind}: {error}.") from None
    return model


def parse(content: bytes) -> ModelProto:
    """Parse a file whose size was limited when it was read.

    Raises:
        DecodeError: it is no protobuf message, or nested more than 100 deep.
        ValueError: it has too many fields.
    """
    check_field_count(content, ModelProto.DESCRIPTOR)
    return ModelProto.FromString(content)


def _check_model(model: ModelProto) -> None:
    if model.functions:
        raise Refused("it defines functions of its own")
    if model.training_info:
        raise Refused("it brings training along")
    if not model.HasField("graph"):
        raise ValueError("it holds no graph")
    for graph in _nested_graphs(model.graph):
        _check_graph(graph)


def _nested_graphs(graph: GraphProto, depth: int = 0) -> Iterator[GraphProto]:
    """Yield the graph and those that its nodes hold."""
    if depth > _MOST_DEPTH:
        raise Refused(f"graphs lie more than {_MOST_DEPTH} deep in each other")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*_present(attribute, "g"), *attribute.graphs):
                yield from _nested_graphs(inner, depth + 1)


def _check_graph(graph: GraphProto) -> None:
    if graph.sparse_initializer:
        raise Refused(_SPARSE)
    for node in graph.node:
        _check_node(node)
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for declared in (*graph.input, *graph.output, *graph.value_info):
        _check_declared(declared)


def _check_node(node: NodeProto) -> None:
    _check_text(node.op_type, node.domain, *node.input, *node.output)
    if node.domain not in DOMAINS:
        allowed = " and ".join(DOMAINS[1:])
        raise Refused(f"the operator {node.op_type} is of the domain {node.domain!r}; {allowed} are allowed")
    if node.op_type in _REFUSED:
        raise Refused(f"the operator {node.op_type} {_REFUSED[node.op_type]}")
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise Refused(_SPARSE)
        for tensor in _tensors(attribute):
            _check_tensor(tensor)


def _check_tensor(tensor: TensorProto) -> None:
    _check_text(tensor.name)
    name = f"the tensor {tensor.name!r}"
    if tensor.HasField("segment"):
        raise Refused("a tensor is cut into segments")
    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        raise Refused(f"{name} lies in another file (external data)")
    if len(tensor.dims) > _SHAPE_VALUES or any(size < 0 for size in tensor.dims):
        raise Refused(f"{name} has the shape {tensor.dims[: _SHAPE_VALUES + 1]}")
    if tensor.data_type not in _BITS:
        raise Refused(f"{name} has the unknown type {tensor.data_type}")
    if (elements := math.prod(tensor.dims)) > MOST_ELEMENTS:
        raise Refused(f"{name} has {elements} elements, {MOST_ELEMENTS} are allowed")
    _check_filled(tensor, elements)


def _check_filled(tensor: TensorProto, elements: int) -> None:
    """Compare the shape with the raw bytes or the typed values, whichever the tensor has."""
    packed_bytes = (elements * _BITS[tensor.data_type] + 7) // 8
    typed = sum(len(getattr(tensor, field)) for field in _TYPED)
    if tensor.HasField("raw_data"):
        found = f"{len(tensor.raw_data)} bytes"
        filled = len(tensor.raw_data) == packed_bytes and not typed
    else:
        found = f"{typed} values"
        filled = typed == _typed_values(tensor.data_type, elements, packed_bytes)
    if not filled:
        raise Refused(f"the tensor {tensor.name!r} has the shape {list(tensor.dims)}, and {found} that do not fill it")


def _typed_values(data_type: int, elements: int, packed_bytes: int) -> int:
    """Return how many typed values make so many elements: a complex number takes two, a byte of small numbers one."""
    if data_type in _COMPLEX:
        return 2 * elements
    return packed_bytes if 0 < _BITS[data_type] < 8 else elements


def _check_declared(declared: ValueInfoProto) -> None:
    _check_text(declared.name)
    sizes = [size.dim_value for size in declared.type.tensor_type.shape.dim]
    if any(size < 0 for size in sizes) or math.prod(max(size, 1) for size in sizes) > MOST_ELEMENTS:
        raise Refused(f"a tensor of the shape {sizes[:_SHAPE_VALUES]} is declared")


def _check_text(*texts: str | bytes) -> None:
    """Refuse text that is no UTF-8: protobuf gives its bytes, ONNX Runtime's Python interface would fail on it."""
    for text in texts:
        if isinstance(text, bytes):
            raise ValueError(f"the name {text!r} is no UTF-8")


def _tensors(attribute: AttributeProto) -> tuple[TensorProto, ...]:
    return (*_present(attribute, "t"), *attribute.tensors)


def _present(attribute: AttributeProto, field: str) -> tuple[Any, ...]:
    """Return the value of an optional field, or nothing: read without a value, it gives its default."""
    return (getattr(attribute, field),) if attribute.HasField(field) else ()
