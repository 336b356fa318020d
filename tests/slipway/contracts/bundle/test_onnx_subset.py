"""The subset of ONNX's schema in onnx_subset.proto, compared with the schema of the installed `onnx` package.

onnx_subset_pb2.py is generated from it by the command in its head; no test runs that, since it needs a compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from slipway.contracts.bundle import onnx_subset_pb2

PROTO = Path(onnx_subset_pb2.__file__).with_name("onnx_subset.proto")
REFUSED = {"FunctionProto", "SparseTensorProto", "TrainingInfoProto"}  # on sight, so nothing in them is looked at
INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
FIELD = re.compile(r"^ +(?:(?:optional|repeated) )?[\w.]+ (\w+) = (\d+)(?: \[packed = true\])?;$", re.MULTILINE)


def nested(messages: dict[str, Descriptor]) -> Iterator[Descriptor]:
    for message in messages.values():
        yield message
        yield from nested(message.nested_types_by_name)


MESSAGES = {
    found.full_name.removeprefix("slipway."): found
    for found in nested(onnx_subset_pb2.DESCRIPTOR.message_types_by_name)
}
ONNX = {found.full_name: found for found in nested(onnx.ModelProto.DESCRIPTOR.file.message_types_by_name)}


def described(field: FieldDescriptor) -> tuple:
    kind = field.message_type or field.enum_type
    return (
        field.name,
        field.type,
        field.is_repeated,
        field.is_packed,
        kind and kind.full_name.removeprefix("slipway."),
        field.containing_oneof and field.containing_oneof.name,
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_is_as_onnx_has_it(name):
    theirs = ONNX[name].fields_by_number
    for number, field in MESSAGES[name].fields_by_number.items():
        assert described(field) == described(theirs[number])


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.removeprefix("onnx.") not in REFUSED])
def test_no_field_that_holds_messages_or_many_integers_is_left_out(name):
    growing = {
        field.name
        for field in ONNX[name].fields
        if field.message_type or (field.is_repeated and field.cpp_type in INTEGERS)
    }
    assert growing <= set(MESSAGES[name].fields_by_name)


def test_the_values_of_enumerations_are_as_onnx_has_them():
    ours, theirs = onnx_subset_pb2.TensorProto.DataLocation, onnx.TensorProto.DataLocation
    assert ours.items() == theirs.items()


def test_the_generated_code_is_of_this_proto():
    declared = [(name, int(number)) for name, number in FIELD.findall(PROTO.read_text())]
    generated = [(field.name, field.number) for message in MESSAGES.values() for field in message.fields]
    assert sorted(declared) == sorted(generated)
