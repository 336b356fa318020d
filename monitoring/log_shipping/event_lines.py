"""Events of a segment as documents: its lines, in batches of limited size, each with the byte at which it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from slipway.prediction_log.jsonl import MAX_LINE

MOST_BYTES = 2 << 20
_PIECE = 1 << 20  # that is read at once: a file's readline has what it reads in memory twice
_MOST_MENDED = 1 << 20  # a line takes many times its size as Python's objects
MOST_DOCUMENTS = 5_000  # a search for all ids of a batch gets them in one response


class Document(NamedTuple):
    """An event and its id; `line` is the JSON of it, without a newline."""

    id: str
    line: bytes


class Batch(NamedTuple):
    """Documents of a part of a file, which begins at the byte `start`; the next part begins at `end`."""

    documents: list[Document]
    start: int
    end: int


class _Identity(msgspec.Struct):
    id: str


class _Event(msgspec.Struct):
    event: _Identity
    timestamp: str = msgspec.field(name="@timestamp")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Event).decode


def batches(file: BinaryIO, start: int = 0) -> Iterator[Batch]:
    """Read a file's events from a byte on; the same byte gives the same batches.

    Lines that are no events are left out: the Parquet sink keeps them (`.bad`).
    """
    file.seek(start)
    documents: list[Document] = []
    size, begin, end = 0, start, start
    for line, after in _lines(file, start):
        document = parse(line)
        if document and documents and (size + len(line) > MOST_BYTES or len(documents) == MOST_DOCUMENTS):
            yield Batch(documents, begin, end)
            documents, size, begin = [], 0, end
        if document:
            documents.append(document)
            size += len(line)
        end = after
    if end > begin:
        yield Batch(documents, begin, end)


def chunked(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Group documents that come from elsewhere into lists of limited size."""
    found: list[Document] = []
    size = 0
    for document in documents:
        if found and (size + len(document.line) > MOST_BYTES or len(found) == MOST_DOCUMENTS):
            yield found
            found, size = [], 0
        found.append(document)
        size += len(document.line)
    if found:
        yield found


def parse(line: bytes) -> Document | None:
    """Parse a line; None if it is no event."""
    line = line.strip()
    try:
        event = _decode(line)
        line.decode()  # what is skipped is not checked to be UTF-8
    except (ValueError, RecursionError):  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        return _mend(line) if len(line) <= _MOST_MENDED else None
    return Document(event.event.id, line)


def _mend(line: bytes) -> Document | None:
    """Make JSON by the standard of what Parquet takes, too: NaN, a number as the id, a byte order mark."""
    try:
        event = json.loads(line)
        id, time = event["event"]["id"], event["@timestamp"]
        mended = _encode(event)  # NaN is null, as a server writes it
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return Document(str(id), mended) if type(id) in (str, int) and isinstance(time, str) else None


def _lines(file: BinaryIO, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield each line and the byte after it; an overlong one is empty."""
    end = start
    while piece := file.readline(_PIECE):
        end += len(piece)
        if len(piece) < _PIECE:
            yield piece, end
        else:
            line, more = _long_line(file, piece)
            end += more
            yield line, end


def _long_line(file: BinaryIO, piece: bytes) -> tuple[bytes, int]:
    """Read on after the first piece of a line; returns the line, empty if it is overlong, and the bytes read."""
    pieces, size = [piece], len(piece)
    while not piece.endswith(b"\n") and (piece := file.readline(_PIECE)):
        size += len(piece)
        if size <= MAX_LINE:
            pieces.append(piece)
        else:
            pieces.clear()
    return b"".join(pieces), size - _PIECE
