"""Limit on the number of fields in a protobuf file, checked before the protobuf runtime parses it.

A field of two bytes becomes an object of a hundred: without a limit, a file of a gigabyte fills any server's memory.
The runtime has none, so tags and lengths are walked here (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

MOST_FIELDS = 300_000
_VARINT, _LENGTH = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_PACKED_BYTES = 64  # packed integers grow to eight times their bytes: so many of them count as another field


def check_field_count(content: bytes, message: Descriptor) -> None:
    """Count the fields of a message and of the messages in it.

    Raises:
        ValueError: there are more than MOST_FIELDS, or the count cannot follow one.
    """
    left = MOST_FIELDS
    for cost in _field_costs(content, message):
        left -= cost
        if left < 0:
            raise ValueError("it has too many fields")


def _field_costs(content: bytes, message: Descriptor) -> Iterator[int]:
    """Yield what each field counts, in the order of parsing; end where a field exceeds its message, as parsing does."""
    at, open_messages = 0, [(len(content), message)]
    while open_messages:
        end, message = open_messages[-1]
        if at > end:
            return
        if at == end:
            open_messages.pop()
            continue
        tag, at = _read_varint(content, at)
        size, at = _read_size(content, at, kind=tag & 7)
        field = message.fields_by_number.get(tag >> 3)
        if field and field.message_type and tag & 7 == _LENGTH:
            open_messages.append((at + size, field.message_type))
            yield 1
        else:
            at += size
            yield 1 + (size // _PACKED_BYTES if field and field.cpp_type in _INTEGERS else 0)


def _read_size(content: bytes, at: int, kind: int) -> tuple[int, int]:
    """Return how many bytes of content are left to read in a field, and where they begin."""
    if kind == _LENGTH:
        return _read_varint(content, at)
    if kind == _VARINT:
        return 0, _read_varint(content, at)[1]
    if kind in _FIXED_BYTES:
        return _FIXED_BYTES[kind], at
    raise ValueError(f"a field of the unknown kind {kind} is at byte {at}")


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    value = 0
    for index, byte in enumerate(content[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"the number at byte {at} does not end")
