"""Refused documents: what Elasticsearch does not take as it is, a line each, until somebody sends it again.

The shipper writes `SPOOL/USECASE/refused/STEM-BYTE.jsonl`, which needs no network, and moves it to
`refused/ENVIRONMENT/USECASE/` of the object store, where it outlives the machine. Parquet has the events, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from monitoring.log_shipping.bulk import Refusal
from monitoring.log_shipping.event_lines import Document, parse
from slipway.prediction_log import Segment
from slipway.settings import Settings
from slipway.storage import ObjectStore
from slipway.storage.base import MOST_BYTES
from slipway.system.files import read_regular, write_bytes
from slipway.timestamps import now_iso

REFUSED = "refused"
_OPENED = re.compile(r"-(\d{8})T\d{12}Z-")  # in a segment's name
_encode = msgspec.json.Encoder().encode


class RefusedDocument(msgspec.Struct):
    """A line of such a file."""

    at: str
    stream: str
    status: int
    type: str
    reason: str
    document: msgspec.Raw


_decode = msgspec.json.Decoder(RefusedDocument).decode


def keep(segment: Segment, byte: int, refusals: Sequence[Refusal]) -> None:
    """Keep what was refused of the segment's part that begins at a byte, durably. Raises OSError.

    The same part has the same file, however often it is sent.
    """
    path = segment.path.parent / REFUSED / f"{segment.stem}-{byte}.jsonl"
    write_bytes(path, lines(segment.stream, refusals))


def lines(stream: str, refusals: Sequence[Refusal]) -> bytes:
    """Encode refusals as the lines of a file."""
    found = (
        RefusedDocument(now_iso(), stream, each.status, each.type, each.reason, msgspec.Raw(each.document.line))
        for each in refusals
    )
    return b"".join(_encode(each) + b"\n" for each in found)


def waiting(spool: Path, usecase: str) -> list[Path]:
    """List the files that wait in the spool to be moved."""
    return sorted((spool / usecase / REFUSED).glob("[!.]*.jsonl"))


def move(path: Path, usecase: str, settings: Settings, store: ObjectStore) -> None:
    """Move a file from the spool to the object store."""
    store.put(f"{folder(settings, usecase)}/{path.name}", read_regular(path, MOST_BYTES))
    path.unlink(missing_ok=True)


def usecases(settings: Settings, store: ObjectStore) -> list[str]:
    """List the use cases with refused documents in the object store."""
    return store.names(f"{REFUSED}/{settings.environment}")


def names(settings: Settings, store: ObjectStore, usecase: str) -> list[str]:
    """List a use case's files in the object store."""
    found = folder(settings, usecase)
    return [f"{found}/{name}" for name in store.names(found)]


def folder(settings: Settings, usecase: str) -> str:
    """Name the folder of a use case's files in the object store."""
    return f"{REFUSED}/{settings.environment}/{usecase}"


def remove_before(settings: Settings, store: ObjectStore, usecase: str, date: str) -> None:
    """Remove the files of segments that were opened before a date, `2026-01-31`."""
    for name in names(settings, store, usecase):
        opened = _OPENED.search(name)
        if opened and opened[1] < date.replace("-", ""):
            store.remove(name)


def read(content: bytes) -> Iterator[tuple[str, Document]]:
    """Read a file's documents, each with its stream; a line that is damaged is left out."""
    for line in content.splitlines():
        try:
            refused = _decode(line)
        except (msgspec.DecodeError, RecursionError):
            continue
        if document := parse(bytes(refused.document)):
            yield refused.stream, document
