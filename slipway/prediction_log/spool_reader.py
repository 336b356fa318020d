"""Reads the spool into a DuckDB table, while segments are written, renamed, shipped and removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from slipway.contracts.events.feedback_event import FEEDBACK_COLUMNS
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.prediction_log.jsonl import count, quoted, rows
from slipway.prediction_log.left_out import LeftOut, bad_lines, why_not_opened
from slipway.prediction_log.segments import COMPLETE, Segment, open_lines, segments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = {"prediction": PREDICTION_COLUMNS, "feedback": FEEDBACK_COLUMNS}
_FILES_AT_ONCE = 100  # well below the usual limit of 1,024 open files


def read_spool(connection: DuckDBPyConnection, table: str, spool: Path, usecase: str, stream: str) -> list[LeftOut]:
    """Make the table of every event of the stream in the spool; returns what is left out of it.

    Listed twice: a listing can miss a file that is being renamed, and a segment is renamed only once.
    """
    create(connection, table, stream)
    read: set[str] = set()
    left_out: list[LeftOut] = []
    for _ in range(2):
        found = [segment for segment in segments(spool, usecase, stream) if segment.stem not in read]
        read.update(segment.stem for segment in found)
        for start in range(0, len(found), _FILES_AT_ONCE):
            left_out += _read(connection, table, found[start : start + _FILES_AT_ONCE], stream)
    return left_out


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


def _read(connection: DuckDBPyConnection, table: str, some: Sequence[Segment], stream: str) -> list[LeftOut]:
    files, left_out = [], []
    with ExitStack() as stack:
        for segment in some:
            try:
                if lines := open_lines(segment):
                    files.append(stack.enter_context(lines))
            except OSError as error:
                left_out.append(LeftOut(str(segment.path), why_not_opened(error)))
        complete = [file for file in files if file.name.endswith(COMPLETE)]
        if sum(map(count, complete)) != insert(connection, table, complete, stream):
            left_out += _bad_lines(connection, f"{table}_bad", complete, stream)
        # The last line of an open segment may be under way: it is no event yet, and not bad either.
        insert(connection, table, [file for file in files if file not in complete], stream)
    return left_out


def _bad_lines(connection: DuckDBPyConnection, table: str, files: Sequence[BinaryIO], stream: str) -> list[LeftOut]:
    """Find which of the files have lines that are no events."""
    create(connection, table, stream)
    bad = ((file.name, count(file) - insert(connection, table, [file], stream)) for file in files)
    return [bad_lines(name, lines) for name, lines in bad if lines]
