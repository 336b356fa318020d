"""Archives a complete segment as Parquet, atomically and idempotently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from slipway.prediction_log.jsonl import MAX_LINE, count, literal
from slipway.prediction_log.layout import BAD, PARQUET, partitions
from slipway.prediction_log.segments import Segment
from slipway.prediction_log.spool_reader import create, insert
from slipway.storage.factory import object_store
from slipway.system.files import open_regular

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from slipway.settings import Settings


def archive(connection: DuckDBPyConnection, settings: Settings, usecase: str, segment: Segment) -> int:
    """Write a Parquet file for each date of the segment's events, each event once, and other lines to a `.bad` file.

    Returns the number of events, once all files are durable. Raises OSError, ServiceError or duckdb.Error, and then
    leaves no part of a file behind.
    """
    store, folder = object_store(settings), partitions(settings, segment.stream, usecase)
    with open_regular(segment.path) as lines:
        create(connection, "segment", segment.stream)
        events = insert(connection, "segment", [lines], segment.stream)
        for (date,) in connection.execute(f"SELECT DISTINCT {_DATE} FROM segment").fetchall():
            with store.draft(f"{folder}/{date}/{segment.stem}{PARQUET}") as draft:
                connection.execute(_COPY.format(date=literal(date), draft=literal(draft)))
        if count(lines) != events:
            ids = {id for (id,) in connection.execute('SELECT "event.id" FROM segment').fetchall()}
            with store.draft(f"{folder}/{segment.opened:%Y-%m-%d}/{segment.stem}{BAD}") as draft:
                _keep_others(lines, ids, draft)
        connection.execute("DROP TABLE segment")
    return events


_DATE = "strftime(\"@timestamp\", '%Y-%m-%d')"
_COPY = f"""COPY (
    SELECT DISTINCT ON ("event.id") * FROM segment WHERE {_DATE} = {{date}} ORDER BY "event.id"
) TO {{draft}} (FORMAT parquet, COMPRESSION zstd)"""


def _keep_others(lines: BinaryIO, ids: set[str], into: Path) -> None:
    """Copy the lines whose event is not among the ids, byte for byte, so that a person can find out what is wrong.

    A line that is too long for an event is copied by pieces.
    """
    lines.seek(0)
    ends, is_long = True, False
    with into.open("wb") as file:
        while piece := lines.readline(MAX_LINE + 1):
            is_long = len(piece) > MAX_LINE or (is_long and not ends)
            ends = piece.endswith(b"\n")
            if is_long or _id(piece) not in ids:
                file.write(piece)
        if not ends:
            file.write(b"\n")


def _id(line: bytes) -> str | None:
    try:
        return str(json.loads(line)["event"]["id"])
    except Exception:  # whatever it is, it is no event
        return None
