"""Parquet files of the log: each is checked before it is used, so that a broken one costs no other.

DuckDB fails as a whole on one broken file of many, while it evaluates a query, and may invalidate its database. A file
is therefore read through once per process; of one that is believed, only the footer is read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
Ids = tuple[str, str]
"""The smallest and the largest `event.id` of a file."""
Mark = tuple[int, ...]
"""What changes if a file is replaced."""

_ANY_IDS: Ids = ("", chr(0x10FFFF))

_NEEDED = ("event.id", "@timestamp")
_OTHER_NAMES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
_MOST_REMEMBERED = 100_000
_log = logging.getLogger("slipway.prediction_log")
_sound: dict[Path, _Sound] = {}
_broken: dict[Path, tuple[Mark, str]] = {}
_warned: set[tuple[str, str]] = set()


def read_parquet(
    connect: Callable[[], DuckDBPyConnection], files: Mapping[str, Path], columns: Mapping[str, str]
) -> tuple[list[str], list[LeftOut]]:
    """Write a query for each layout of columns among the files, which have names; returns those left out as well.

    Raises:
        OSError: this process cannot open files.
    """
    sound, left_out = check(connect, files, columns)
    return queries(sound, columns), left_out


def check(
    connect: Callable[[], DuckDBPyConnection],
    files: Mapping[str, Path],
    columns: Mapping[str, str],
    believed: bool = False,
) -> tuple[list[Path], list[LeftOut]]:
    """Read files through, or the footers of `believed` ones; returns the sound ones, and what is wrong with others.

    Files do not change once they are written, so a sound one is not checked again in this process.

    Raises:
        OSError: this process cannot open files.
    """
    broken = {path: found for path in files.values() if (found := _found_broken(path))}
    fresh = [path for path in files.values() if path not in broken and _remembered(path, believed) is None]
    if fresh:
        broken |= _Check(connect, columns, believed).broken(fresh)
    left_out = [LeftOut(name, broken[path]) for name, path in files.items() if path in broken]
    _warn(left_out)
    return [path for path in files.values() if path not in broken], left_out


def recheck(connect: Callable[[], DuckDBPyConnection], files: Sequence[Path], columns: Mapping[str, str]) -> bool:
    """Read files through that were sound before; returns whether `check` finds any of them broken from now on."""
    sound = [path for path in files if path in _sound and not _found_broken(path)]
    broken = _Check(connect, columns).broken(sound) if sound else {}
    _broken.update({path: (mark(path), why) for path, why in broken.items()})
    return any(map(_found_broken, files))


def queries(files: Iterable[Path], columns: Mapping[str, str], believed: bool = False) -> list[str]:
    """Write a query for each layout of columns among sound files; it fails on JSON of `believed` ones that is none."""
    layouts: dict[Columns, list[Path]] = defaultdict(list)
    for path in files:
        if found := _remembered(path, believed):
            layouts[found.layout].append(path)
    return [_query(layout, paths, columns, believed) for layout, paths in layouts.items()]


def range_of_ids(file: Path) -> Ids:
    """The range of ids of a file that was read through."""
    found = _remembered(file)
    return found.ids if found and found.ids else _ANY_IDS


def mark(path: Path) -> Mark:
    """What changes if a file is replaced; empty if there is none."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class _Sound:
    """What is remembered of a sound file: its range of ids if it was read through."""

    mark: Mark
    layout: Columns
    ids: Ids | None


class _Check:
    """A check of files that are not remembered, on a database of its own."""

    def __init__(
        self, connect: Callable[[], DuckDBPyConnection], columns: Mapping[str, str], believed: bool = False
    ) -> None:
        self._connect = connect
        self._columns = columns
        self._believed = believed
        self._connection = connect()

    def broken(self, files: Sequence[Path]) -> dict[Path, str]:
        """Check files and remember the sound ones; returns why others are not. Halves find the broken ones."""
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
        marks = {path: mark(path) for path in files}
        found = self._layouts(files)
        broken = {path: why for path, layout in found.items() if (why := _misfit(layout, self._columns))}
        layouts: dict[Columns, list[Path]] = defaultdict(list)
        for path in found.keys() - broken.keys():
            known = ((name, found[path][name]) for name in self._columns if name in found[path])
            layouts[_one(tuple(known))].append(path)
        ids: dict[Path, Ids] = {}
        for layout, paths in layouts.items() if not self._believed else ():
            ids |= dict.fromkeys(paths, _ANY_IDS) | self._read_through(layout, paths)
        if len(_sound) > _MOST_REMEMBERED:
            _sound.clear()
        for layout, paths in layouts.items():
            _sound.update({path: _Sound(marks[path], layout, ids.get(path)) for path in paths})
        return broken

    def _layouts(self, files: Sequence[Path]) -> dict[Path, dict[str, str]]:
        """Names and types of each file's columns."""
        found: dict[Path, dict[str, str]] = {path: {} for path in files}
        query = f"SELECT file_name, name, duckdb_type FROM parquet_schema({literals(files)}) WHERE num_children IS NULL"
        for path, name, kind in self._connection.execute(query).fetchall():
            found[Path(path)][name] = _OTHER_NAMES.get(kind, kind)
        return found

    def _read_through(self, layout: Columns, paths: Sequence[Path]) -> dict[Path, Ids]:
        """Decode every value; returns the files' ranges of ids. Raises ValueError for a value that is no JSON where
        JSON belongs."""
        documents = [quoted(name) for name, _ in layout if self._columns[name] == "JSON"]
        wrong = " + ".join(f"count(*) FILTER (NOT json_valid({name}))" for name in documents) or "0"
        names = ", ".join(quoted(name) for name, _ in layout)
        query = f"""SELECT slipway_file, {wrong}, min("event.id"), max("event.id"), bit_xor(hash({names}))
            FROM read_parquet({literals(paths)}, filename = 'slipway_file') GROUP BY slipway_file"""
        found = self._connection.execute(query).fetchall()
        if count := sum(wrong for _, wrong, *_ in found):
            raise ValueError(f"{count:,} of its values are no JSON")
        return {Path(path): (first, last) for path, _, first, last, _ in found if first is not None}


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


def _query(layout: Columns, paths: Sequence[Path], columns: Mapping[str, str], believed: bool) -> str:
    names = ", ".join(f"{_cast(name, columns[name], believed)} AS {quoted(name)}" for name, _ in layout)
    return f"SELECT {names} FROM read_parquet({literals(paths)})"


def _cast(name: str, kind: str, believed: bool) -> str:
    """The expression of a column. DuckDB takes what a file has as JSON for JSON, and validates a text."""
    return f"{quoted(name)}{'::VARCHAR' if believed and kind == 'JSON' else ''}::{kind}"


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


def _remembered(path: Path, believed: bool = False) -> _Sound | None:
    """What is known of a file that was sound, if it is the same file, and was read through or is believed."""
    found = _sound.get(path)
    return found if found and (believed or found.ids) and found.mark == mark(path) else None


def _found_broken(path: Path) -> str:
    """Why a file failed a query, if it is the same file; else empty."""
    found = _broken.get(path)
    return found[1] if found and found[0] == mark(path) else ""
