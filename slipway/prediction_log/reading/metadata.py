"""Metadata of a compacted file: the small files that it was made of, and the range of its events.

Compaction wrote the file, which appeared complete. A reader may therefore believe the metadata without reading the
events, and each of them is in this file once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slipway.prediction_log.jsonl import literal, literals

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEY = "slipway_compacted"
_log = logging.getLogger("slipway.prediction_log")


class Metadata(msgspec.Struct, frozen=True):
    """When a compacted file was written, the names of the small files whose events it has, and the range of those.

    The smallest and the largest `event.id`, the first and the last time. A file without them is not believed.
    """

    at: datetime
    sources: list[str]
    ids: tuple[str, str] | None = None
    times: tuple[datetime, datetime] | None = None


def to_option(metadata: Metadata) -> str:
    """Write the option of COPY that puts the metadata into a file."""
    return f"KV_METADATA {{{_KEY}: {literal(msgspec.json.encode(metadata).decode())}}}"


def read(connect: Callable[[], DuckDBPyConnection], files: Sequence[Path]) -> dict[Path, Metadata]:
    """Read the metadata of files that have any, and a footer that can be read."""
    if not files:
        return {}
    query = f"""SELECT file_name, decode(value) FROM parquet_kv_metadata({literals(files)})
        WHERE decode(key) = '{_KEY}'"""
    with connect() as connection:
        rows = connection.execute(query).fetchall()
    found = {Path(name): metadata for name, text in rows if (metadata := _decode(name, text))}
    return {path: found[path] for path in files if path in found}


def _decode(name: str, text: str) -> Metadata | None:
    try:
        return msgspec.json.decode(text, type=Metadata)
    except ValueError:
        _log.warning("%s does not say what it was made of", name)
        return None
