"""Reads the spool into a DuckDB table, while segments are written, renamed, shipped and removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from slipway.contracts.events.feedback_event import FEEDBACK_COLUMNS
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.prediction_log.jsonl import count, quoted, rows
from slipway.prediction_log.segments import COMPLETE, Segment, open_lines, segments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = {"prediction": PREDICTION_COLUMNS, "feedback": FEEDBACK_COLUMNS}
_FILES_AT_ONCE = 100  # well below the usual limit of 1,024 open files


def read_spool(connection: DuckDBPyConnection, table: str, spool: Path, usecase: str, stream: str) -> int:
    """Make the table of every event of the stream in the spool; returns the number of lines that are no events.

    Listed twice: a listing can miss a file that is being renamed, and a segment is renamed only once.
    """
    create(connection, table, stream)
    read: set[str] = set()
    bad = 0
    for _ in range(2):
        found = [segment for segment in segments(spool, usecase, stream) if segment.stem not in read]
        read.update(segment.stem for segment in found)
        for start in range(0, len(found), _FILES_AT_ONCE):
            bad += _read(connection, table, found[start : start + _FILES_AT_ONCE], stream)
    return bad


def create(connection: DuckDBPyConnection, table: str, stream: str) -> None:
    """Create an empty table for the stream's events, replacing one of that name."""
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in COLUMNS[stream].items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})")


def insert(connection: DuckDBPyConnection, table: str, files: Sequence[BinaryIO], stream: str) -> int:
    """Insert the files' events; returns their number. Files are read by descriptor: they may be renamed meanwhile."""
    if not files:
        return 0
    query = rows([f"/dev/fd/{file.fileno()}" for file in files], COLUMNS[stream])
    [(inserted,)] = connection.execute(f"INSERT INTO {table} BY NAME {query}").fetchall()
    return inserted


def _read(connection: DuckDBPyConnection, table: str, some: Sequence[Segment], stream: str) -> int:
    with ExitStack() as stack:
        files = [stack.enter_context(lines) for segment in some if (lines := open_lines(segment))]
        complete = [file for file in files if file.name.endswith(COMPLETE)]
        bad = sum(map(count, complete)) - insert(connection, table, complete, stream)
        # The last line of an open segment may be under way: it is no event yet, and not bad either.
        insert(connection, table, [file for file in files if file not in complete], stream)
    return bad
