"""Which events of the log's files can occur again: only those are compared by their `event.id`.

The events of a compacted file are in it once, and in no file whose range of ids does not overlap with its own. As ids
begin with the time when they were made, the ranges of few files overlap, and by little: the ids in that part are
compared. Where all ranges overlap, as those of random ids do, all events are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.prediction_log.jsonl import literal
from slipway.prediction_log.layout import COMPACTED
from slipway.prediction_log.left_out import LeftOut
from slipway.prediction_log.parquet_files import Ids, Mark, check, mark, range_of_ids
from slipway.prediction_log.reading import metadata
from slipway.prediction_log.reading.metadata import Metadata

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_apart: dict[tuple[Path, Mark, Path, Mark], bool] = {}


@dataclass(frozen=True)
class EventSets:
    """The files whose events occur once among them, with their metadata, and the `rest`, whose events may occur again.

    What a file of `once` has in common with the rest or the spool is in a range of its ids, in `shared`.
    """

    once: Mapping[Path, Metadata]
    rest: Sequence[Path]
    shared: Mapping[Path, Ids]
    left_out: Sequence[LeftOut]


def event_sets(
    connect: Callable[[], DuckDBPyConnection],
    files: Mapping[str, Path],
    columns: Mapping[str, str],
    spooled: Ids | None,
) -> EventSets:
    """Divide the files of a stream; `spooled` is the range of the events in the spool, which are compared with all."""
    large = {name: path for name, path in files.items() if _base(name).startswith(COMPACTED)}
    sound, broken = check(connect, large, columns, believed=True)
    proven = {path: found for path, found in metadata.read(connect, sound).items() if found.ids}
    others = {name: path for name, path in files.items() if path not in proven and name not in _covered(files, proven)}
    others = {name: path for name, path in others.items() if name not in {each.file for each in broken}}
    read, also_broken = check(connect, others, columns)
    doubled = _doubled(connect, {path: found.ids for path, found in proven.items() if found.ids})
    once = {path: found for path, found in proven.items() if path not in doubled}
    ranges = [*map(range_of_ids, read), *(proven[path].ids for path in doubled), *([spooled] if spooled else [])]
    shared = _shared({path: found.ids for path, found in once.items() if found.ids}, [each for each in ranges if each])
    return EventSets(once, [*read, *doubled], shared, [*broken, *also_broken])


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _covered(files: Mapping[str, Path], proven: Mapping[Path, Metadata]) -> set[str]:
    """The small files whose events are in a compacted file of the same date: they wait for their removal."""
    found = ((name.rpartition("/")[0], proven[path]) for name, path in files.items() if path in proven)
    return {f"{folder}/{source}" for folder, each in found for source in each.sources}


def _doubled(connect: Callable[[], DuckDBPyConnection], ranges: Mapping[Path, Ids]) -> set[Path]:
    """The files that have an event of another one."""
    pairs = [pair for pair in _overlaps(ranges) if _key(*pair) not in _apart]
    if pairs:
        with connect() as connection:
            for one, other in pairs:
                between = max(ranges[one][0], ranges[other][0]), min(ranges[one][1], ranges[other][1])
                query = f"SELECT count(*) FROM ({ids(one, between)}) SEMI JOIN ({ids(other, between)}) USING (id)"
                [(common,)] = connection.execute(query).fetchall()
                _apart[_key(one, other)] = not common
    return {path for pair in _overlaps(ranges) if not _apart[_key(*pair)] for path in pair}


def ids(path: Path, between: Ids) -> str:
    """Write the query of a file's ids in a range."""
    return f'SELECT "event.id" AS id FROM read_parquet({literal(path)}) WHERE {is_between(between)}'


def is_between(ids: Ids) -> str:
    """Write the condition that an event's id is in a range."""
    first, last = map(literal, ids)
    return f'"event.id" BETWEEN {first} AND {last}'


def _key(one: Path, other: Path) -> tuple[Path, Mark, Path, Mark]:
    return one, mark(one), other, mark(other)


def _overlaps(ranges: Mapping[Path, Ids]) -> Iterable[tuple[Path, Path]]:
    """Pairs of files whose ranges overlap, in order of their first ids."""
    begun: list[Path] = []
    for path in sorted(ranges, key=lambda each: (ranges[each], each)):
        begun = [other for other in begun if ranges[other][1] >= ranges[path][0]]
        yield from ((other, path) for other in begun)
        begun.append(path)


def _shared(once: Mapping[Path, Ids], ranges: Sequence[Ids]) -> dict[Path, Ids]:
    """The part of each file, as a range of ids, that has all its ids in any of the ranges."""
    found: dict[Path, Ids] = {}
    merged = _merged(ranges)
    for path, (first, last) in once.items():
        parts = [(max(first, low), min(last, high)) for low, high in merged if low <= last and high >= first]
        if parts:
            found[path] = parts[0][0], parts[-1][1]
    return found


def _merged(ranges: Sequence[Ids]) -> list[Ids]:
    """The union of ranges as few ones that do not overlap, in order."""
    merged: list[Ids] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
