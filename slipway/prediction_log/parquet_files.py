"""Parquet files of the log: each is read through before it is used, so that a broken one costs no other.

DuckDB fails as a whole on one broken file of many, while it evaluates a query, and may invalidate its database.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.prediction_log.jsonl import literals, quoted
from slipway.prediction_log.left_out import LeftOut, why_not_opened
from slipway.system.files import open_regular

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Columns = tuple[tuple[str, str], ...]
"""Names and types of a file's columns, those that the log knows."""

_NEEDED = ("event.id", "@timestamp")
_OTHER_NAMES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
_MOST_REMEMBERED = 100_000
_log = logging.getLogger("slipway.prediction_log")
_sound: dict[Path, tuple[tuple[int, ...], Columns]] = {}
_warned: set[tuple[str, str]] = set()


def read_parquet(
    connect: Callable[[], DuckDBPyConnection], files: Mapping[str, Path], columns: Mapping[str, str]
) -> tuple[list[str], list[LeftOut]]:
    """Write a query for each layout of columns among the files, which have names; returns those left out as well.

    Files do not change once they are written, so one that was read through is not checked again in this process.

    Raises:
        OSError: this process cannot open files.
    """
    fresh = [path for path in files.values() if _remembered(path) is None]
    broken = _Check(connect, columns).broken(fresh) if fresh else {}
    layouts: dict[Columns, list[Path]] = defaultdict(list)
    for path in files.values():
        if found := _remembered(path):
            layouts[found].append(path)
    left_out = [LeftOut(name, broken[path]) for name, path in files.items() if path in broken]
    _warn(left_out)
    return [_query(layout, paths, columns) for layout, paths in layouts.items()], left_out


class _Check:
    """A check of files that are not remembered, on a database of its own."""

    def __init__(self, connect: Callable[[], DuckDBPyConnection], columns: Mapping[str, str]) -> None:
        self._connect = connect
        self._columns = columns
        self._connection = connect()

    def broken(self, files: Sequence[Path]) -> dict[Path, str]:
        """Read files through and remember the sound ones; returns why others are not. Halves find the broken ones."""
        import duckdb

        try:
            for path in files:
                open_regular(path).close()  # DuckDB would wait for a pipe for ever
            return self._together(files)
        except Exception as error:  # DuckDB raises its own errors and others, such as UnicodeDecodeError
            if isinstance(error, (duckdb.InternalError, duckdb.FatalException)):
                self._connection = self._connect()  # the old one answers no query any more
            if len(files) == 1:
                return {files[0]: _reason(files[0], error)}
            middle = len(files) // 2
            return self.broken(files[:middle]) | self.broken(files[middle:])

    def _together(self, files: Sequence[Path]) -> dict[Path, str]:
        marks = {path: _mark(path) for path in files}
        found = self._layouts(files)
        broken = {path: why for path, layout in found.items() if (why := _misfit(layout, self._columns))}
        layouts: dict[Columns, list[Path]] = defaultdict(list)
        for path in found.keys() - broken.keys():
            known = ((name, found[path][name]) for name in self._columns if name in found[path])
            layouts[_one(tuple(known))].append(path)
        for layout, paths in layouts.items():
            self._read_through(layout, paths)
        if len(_sound) > _MOST_REMEMBERED:
            _sound.clear()
        _sound.update({path: (marks[path], layout) for layout, paths in layouts.items() for path in paths})
        return broken

    def _layouts(self, files: Sequence[Path]) -> dict[Path, dict[str, str]]:
        """Names and types of each file's columns."""
        found: dict[Path, dict[str, str]] = {path: {} for path in files}
        query = f"SELECT file_name, name, duckdb_type FROM parquet_schema({literals(files)}) WHERE num_children IS NULL"
        for path, name, kind in self._connection.execute(query).fetchall():
            found[Path(path)][name] = _OTHER_NAMES.get(kind, kind)
        return found

    def _read_through(self, layout: Columns, paths: Sequence[Path]) -> None:
        """Decode every value. Raises ValueError for a value that is no JSON where JSON belongs."""
        documents = [quoted(name) for name, _ in layout if self._columns[name] == "JSON"]
        wrong = " + ".join(f"count(*) FILTER (NOT json_valid({name}))" for name in documents) or "0"
        names = ", ".join(quoted(name) for name, _ in layout)
        query = f"SELECT {wrong}, bit_xor(hash({names})) FROM read_parquet({literals(paths)})"
        [(count, _)] = self._connection.execute(query).fetchall()
        if count:
            raise ValueError(f"{count:,} of its values are no JSON")


@lru_cache
def _one(layout: Columns) -> Columns:
    """The same object for equal layouts: one is remembered for each of many files."""
    return layout


def _misfit(layout: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Why a file's columns do not fit; columns that it lacks, or that are not known here, are no reason."""
    for name in _NEEDED:
        if name not in layout:
            return f"it has no column {name}"
    for name, kind in columns.items():
        if name in layout and layout[name] not in (kind, "VARCHAR" if kind == "JSON" else kind):
            return f"its column {name} is {layout[name]}, and {kind} is expected"
    return ""


def _query(layout: Columns, paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    names = ", ".join(f"{quoted(name)}::{columns[name]} AS {quoted(name)}" for name, _ in layout)
    return f"SELECT {names} FROM read_parquet({literals(paths)})"


def _reason(file: Path, error: Exception) -> str:
    """Why a file cannot be read. Raises OSError if the reason is this process, and not the file."""
    try:
        open_regular(file).close()
    except OSError as refused:
        return why_not_opened(refused)
    return str(error).partition("\n")[0].replace(f"'{file}'", "it")[:200] or type(error).__name__


def _warn(left_out: Sequence[LeftOut]) -> None:
    """Say each file once in this process."""
    for each in left_out:
        if (each.file, each.why) not in _warned:
            _warned.add((each.file, each.why))
            _log.warning("%s is left out of the prediction log: %s", each.file, each.why)


def _remembered(path: Path) -> Columns | None:
    """The layout of a file that was sound, if it is the same file."""
    found = _sound.get(path)
    return found[1] if found and found[0] == _mark(path) else None


def _mark(path: Path) -> tuple[int, ...]:
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns
