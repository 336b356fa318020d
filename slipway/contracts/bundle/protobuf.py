"""Reads the fields of a protobuf message without its definition, and refuses what two readers could understand
differently (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 300_000
_FIXED = {FIXED64: 8, FIXED32: 4}
_MASK64 = (1 << 64) - 1


class Malformed(ValueError):
    """Bytes that are no protobuf message; the text says where they stop being one."""


class Field(NamedTuple):
    """`start` and `end` are the place of its content in the file; `value` is a varint's number, modulo 2**64."""

    number: int
    wire: int
    value: int
    start: int
    end: int


class Message:
    """A file's bytes, of which parts are messages, with one budget of fields for all: no file keeps us for ever."""

    def __init__(self, content: bytes | mmap.mmap, most_fields: int = MOST_FIELDS) -> None:
        self.content = content
        self._left = most_fields

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields between two places. Raises Malformed where one does not end there, or is no field."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise Malformed("it has too many fields")
            tag, at = self._varint(at, end, 5)
            number, wire = tag >> 3, tag & 7
            if tag >> 32 or number == 0:
                raise Malformed(f"no field begins at byte {at}")
            value, begin = 0, at
            if wire == VARINT:
                value, at = self._varint(at, end, 10)
            elif wire == LENGTH:
                size, begin = self._varint(at, end, 5)
                at = begin + size
            elif wire in _FIXED:
                at += _FIXED[wire]
            else:
                raise Malformed(f"a field of the unknown kind {wire} is at byte {at}")
            if at > end:
                raise Malformed(f"the field at byte {begin} ends beyond what it is in")
            yield Field(number, wire, value, begin, at)

    def varints(self, start: int, end: int) -> Iterator[int]:
        """The numbers of a packed field."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise Malformed("it has too many fields")
            value, at = self._varint(at, end, 10)
            yield value

    def _varint(self, at: int, end: int, most_bytes: int) -> tuple[int, int]:
        """The number that begins at `at`, and where the next thing does."""
        value = 0
        for index, byte in enumerate(self.content[at : min(at + most_bytes, end)]):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & _MASK64, at + index + 1
        raise Malformed(f"a number at byte {at} does not end")


def signed(value: int) -> int:
    """A varint as protobuf's int64.

    >>> signed(2**64 - 1)
    -1
    """
    return value - (1 << 64) if value >> 63 else value
