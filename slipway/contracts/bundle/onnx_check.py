"""An ONNX file looked at before ONNX Runtime sees it: is it only a network, of the size that its bytes have?

The server has no `onnx` package: the few fields of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)
that can reach outside the file, or make much out of little, are read here. Everything is refused that our own exports
do not contain and that a reader of these files could be led astray by.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

from slipway.contracts.bundle.protobuf import LENGTH, VARINT, Field, Malformed, Message, signed
from slipway.errors import BundleError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
MOST_ELEMENTS = 1 << 28  # of one tensor: 1 GiB of float32
_MOST_DEPTH = 4
_SHAPE_VALUES = 16
_REFUSED = {
    "Loop": "may never end",
    "RandomNormal": "makes a tensor of any size",
    "RandomUniform": "makes a tensor of any size",
}
# Operators that make a tensor as large as one of their inputs says, and which input that is.
_GROWING = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "OneHot": 1, "Pad": 1, "Resize": 3, "Upsample": 1, "Range": 1}
# onnx.TensorProto.DataType: bits of an element; strings (8) have no fixed size.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 0, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128}
_BITS |= {16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
_FORMATS = {1: "f", 6: "i", 7: "q", 11: "d"}
_PACKED = {4: 1, 5: 6, 7: 7, 10: 11}  # the field in which values of a type lie, where they are not raw


class Refused(ValueError):
    """A part of the file that must not be loaded; the text is the reason."""


@dataclass
class Node:
    domain: str = ""
    operator: str = ""
    inputs: list[str] = field(default_factory=list)


@dataclass
class Tensor:
    """`values` are there for short constants only: they may say how large another tensor becomes."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    raw_bytes: int | None = None
    external: bool = False
    values: list[float] = field(default_factory=list)


@dataclass
class Contents:
    """What a file holds, subgraphs included."""

    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)


def check(path: Path) -> Contents:
    """What the file holds, none of it dangerous.

    Raises:
        BundleError: it is no ONNX file, or holds what must not reach ONNX Runtime; says what.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            reader = _Reader(content)
            reader.model()
    except (Malformed, OSError, ValueError) as error:
        kind = "is refused" if isinstance(error, Refused) else "is no ONNX file"
        raise BundleError(f"{path.name} {kind}: {error}.") from None
    return reader.found


class _Reader:
    """Walks the model's messages. A field that stands twice where once is meant would be merged by others: refused."""

    def __init__(self, content: mmap.mmap) -> None:
        self._message = Message(content)
        self._content = content
        self._sizes: dict[str, float] = {}
        self.found = Contents()

    def model(self) -> None:
        graphs = 0
        for part in self._fields(0, len(self._content), once=(1, 7)):
            if part.number == 25:
                raise Refused("it defines functions of its own")
            if part.number == 20:
                raise Refused("it brings training along")
            if part.number == 7:
                self._graph(_inside(part), depth=0)
                graphs += 1
        if not graphs:
            raise Malformed("it holds no graph")
        self._check_growth()

    def _graph(self, part: Field, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise Refused(f"graphs lie more than {_MOST_DEPTH} deep in each other")
        for inner in self._fields(part.start, part.end):
            if inner.number == 1:
                self._node(_inside(inner), depth)
            elif inner.number == 5:
                self._note(self._tensor(_inside(inner)))
            elif inner.number == 15:
                raise Refused("it holds a sparse tensor: a few bytes may stand for gigabytes")
            elif inner.number in (11, 12, 13):
                self._value_info(_inside(inner))

    def _node(self, part: Field, depth: int) -> None:
        node = Node()
        constants: list[Tensor] = []
        outputs: list[str] = []
        for inner in self._fields(part.start, part.end, once=(3, 4, 7, 8)):
            if inner.number == 1:
                node.inputs.append(self._text(inner))
            elif inner.number == 2:
                outputs.append(self._text(inner))
            elif inner.number == 4:
                node.operator = self._text(inner)
            elif inner.number == 7:
                node.domain = self._text(inner)
            elif inner.number == 5:
                constants += self._attribute(_inside(inner), depth)
        if node.domain not in DOMAINS:
            allowed = " and ".join(DOMAINS[1:])
            raise Refused(f"the operator {node.operator} is of the domain {node.domain!r}; {allowed} are allowed")
        if node.operator in _REFUSED:
            raise Refused(f"the operator {node.operator} {_REFUSED[node.operator]}")
        if node.operator == "Constant" and outputs and constants:
            constants[0].name = outputs[0]
        for constant in constants:
            self._note(constant)
        self.found.nodes.append(node)

    def _attribute(self, part: Field, depth: int) -> list[Tensor]:
        """The tensors in it; lists of numbers count as one, since they may be a shape."""
        tensors: list[Tensor] = []
        numbers: list[float] = []
        for inner in self._fields(part.start, part.end, once=(1, 5, 6, 22)):
            if inner.number in (5, 10):
                tensors.append(self._tensor(_inside(inner)))
            elif inner.number in (6, 11):
                self._graph(_inside(inner), depth + 1)
            elif inner.number in (22, 23):
                raise Refused("it holds a sparse tensor: a few bytes may stand for gigabytes")
            elif inner.number == 3 or inner.number == 8:
                numbers += self._integers(inner)
        if 0 < len(numbers) <= _SHAPE_VALUES:
            tensors.append(Tensor(values=numbers))
        return tensors

    def _tensor(self, part: Field) -> Tensor:
        tensor, typed = Tensor(), 0
        packed: list[Field] = []
        for inner in self._fields(part.start, part.end, once=(2, 8, 9, 14)):
            if inner.number == 1:
                tensor.dims += self._integers(inner)
            elif inner.number == 2:
                tensor.data_type = _number(inner)
            elif inner.number == 8:
                tensor.name = self._text(inner)
            elif inner.number == 9:
                tensor.raw_bytes = _inside(inner).end - inner.start
                packed.append(inner)
            elif inner.number in (4, 5, 6, 7, 10, 11):
                typed += inner.end - inner.start
                packed.append(inner)
            elif inner.number == 13 or (inner.number == 14 and _number(inner) != 0):
                tensor.external = True
            elif inner.number == 3:
                raise Refused("a tensor is cut into segments")
        self._check_tensor(tensor, typed)
        if math.prod(tensor.dims) <= _SHAPE_VALUES:
            tensor.values = [value for field in packed for value in self._values(field, tensor.data_type)]
        self.found.tensors.append(tensor)
        return tensor

    def _check_tensor(self, tensor: Tensor, typed: int) -> None:
        """Its shape and its bytes belong together; typed values take a byte for four of them, or up to 16 for one."""
        name = f"the tensor {tensor.name!r}"
        if tensor.external:
            raise Refused(f"{name} lies in another file (external data)")
        if len(tensor.dims) > _SHAPE_VALUES or any(size < 0 for size in tensor.dims):
            raise Refused(f"{name} has the shape {tensor.dims[: _SHAPE_VALUES + 1]}")
        if tensor.data_type not in _BITS:
            raise Refused(f"{name} has the unknown type {tensor.data_type}")
        elements, bits = math.prod(tensor.dims), _BITS[tensor.data_type]
        if elements > MOST_ELEMENTS:
            raise Refused(f"{name} has {elements} elements, {MOST_ELEMENTS} are allowed")
        if tensor.raw_bytes is not None:
            if typed or tensor.raw_bytes != (elements * bits + 7) // 8:
                raise Refused(f"{name} has the shape {tensor.dims}, and {tensor.raw_bytes} bytes that do not fill it")
        elif elements > 4 * typed or (typed > 16 * elements and bits):
            raise Refused(f"{name} has the shape {tensor.dims}, and {typed} bytes that do not fill it")

    def _value_info(self, part: Field) -> None:
        """The sizes that an input, output or result between is declared to have."""
        for kind in self._fields(part.start, part.end, once=(1, 2)):
            if kind.number != 2:
                continue
            for tensor in self._fields(_inside(kind).start, kind.end, once=(1,)):
                if tensor.number == 1:
                    self._check_declared(_inside(tensor))

    def _check_declared(self, part: Field) -> None:
        sizes = [
            signed(size.value)
            for shape in self._fields(part.start, part.end, once=(2,))
            if shape.number == 2
            for dimension in self._fields(_inside(shape).start, shape.end)
            for size in self._fields(_inside(dimension).start, dimension.end)
            if size.number == 1 and size.wire == VARINT
        ]
        if any(size < 0 for size in sizes) or math.prod(max(size, 1) for size in sizes) > MOST_ELEMENTS:
            raise Refused(f"a tensor of the shape {sizes[:_SHAPE_VALUES]} is declared")

    def _note(self, constant: Tensor) -> None:
        """Remember how large a tensor this constant would ask for, if it is a shape."""
        if constant.values:
            asked = math.prod(max(abs(value), 1.0) for value in constant.values)
            self._sizes[constant.name] = max(asked, self._sizes.get(constant.name, 0.0))

    def _check_growth(self) -> None:
        for node in self.found.nodes:
            place = _GROWING.get(node.operator)
            if place is None or place >= len(node.inputs):
                continue
            if not self._sizes.get(node.inputs[place], 0.0) <= MOST_ELEMENTS:
                raise Refused(f"the operator {node.operator} makes a tensor of more than {MOST_ELEMENTS} elements")

    def _values(self, part: Field, data_type: int) -> list[float]:
        form = _FORMATS.get(data_type)
        if form is None or (part.number != 9 and _PACKED.get(part.number) != data_type):
            return []
        if part.number in (5, 7):
            return [float(value) for value in self._integers(part)]
        count, rest = divmod(part.end - part.start, struct.calcsize(form))
        if rest:
            raise Malformed(f"the field {part.number} at byte {part.start} is of another kind")
        return list(struct.unpack(f"<{count}{form}", self._bytes(part)))

    def _integers(self, part: Field) -> list[int]:
        """A repeated int64, packed or not."""
        if part.wire == VARINT:
            return [signed(part.value)]
        return [signed(value) for value in self._message.varints(_inside(part).start, part.end)]

    def _fields(self, start: int, end: int, once: tuple[int, ...] = ()) -> list[Field]:
        found = list(self._message.fields(start, end))
        for number in once:
            if sum(part.number == number for part in found) > 1:
                raise Malformed(f"the field {number} stands twice in a message at byte {start}")
        return found

    def _text(self, part: Field) -> str:
        return self._bytes(_inside(part)).decode("utf-8")

    def _bytes(self, part: Field) -> bytes:
        return self._content[part.start : part.end]


def _inside(part: Field) -> Field:
    """The field, which must have bytes of its own."""
    if part.wire != LENGTH:
        raise Malformed(f"the field {part.number} at byte {part.start} is of another kind")
    return part


def _number(part: Field) -> int:
    if part.wire != VARINT:
        raise Malformed(f"the field {part.number} at byte {part.start} is of another kind")
    return part.value
