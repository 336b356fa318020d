"""Compaction: the many small Parquet files of a past date become a few large ones, and no reader notices.

A process that is killed at any step loses and doubles nothing, nor do two at once:

1. A large file appears complete or not at all, and its metadata names the small ones whose events it has. Its own name
   is a digest of theirs, so that a repetition replaces it. Its sample appears before it.
2. Until the small ones are removed, readers find events in both, and read those of the large file.
3. They are removed when no reader that listed them can still be at it, if every value of the large file can be read.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import DataError
from slipway.prediction_log.jsonl import connect, literal, literals
from slipway.prediction_log.layout import COMPACTED, PARQUET, READING, SAMPLE, dates, partitions
from slipway.prediction_log.parquet_files import read_parquet
from slipway.prediction_log.reading import metadata, sample
from slipway.prediction_log.reading.metadata import Metadata
from slipway.prediction_log.segments import segments
from slipway.prediction_log.spool_reader import COLUMNS
from slipway.storage.factory import object_store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from slipway.settings import Settings
    from slipway.storage import ObjectStore

_MOST_BYTES, _MOST_FILES = 64 << 20, 2_000  # of small files that become one
_FETCHED_AT_ONCE = 16
ROW_GROUP = 50_000  # rows that the writer holds in memory
_log = logging.getLogger("slipway.prediction_log")


_UNKNOWN = Metadata(datetime.max.replace(tzinfo=UTC), [])


@dataclass(frozen=True)
class _Partition:
    """A date of a stream, at the time of a pass."""

    folder: str
    stream: str
    now: datetime


@dataclass(frozen=True)
class LargeFile:
    """A large file to write `at` a time: its name and stream, the query of its events, and the small files of those."""

    name: str
    stream: str
    rows: str
    sources: Sequence[str]
    at: datetime


@dataclass
class Compaction:
    """Counts of a pass: small files that were `combined` into `large` ones, and small ones that were `removed`."""

    combined: int = 0
    large: int = 0
    removed: int = 0


class Compactor:
    """Compacts the log in passes, and remembers the dates at which there is nothing left to do.

    Copies of objects and drafts lie in a folder of their own, and are removed; those that readers use stay.
    """

    def __init__(self, settings: Settings, enough: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self._enough = enough
        self._scratch = settings.var / "tmp" / "compaction"
        apart = settings.model_copy(update={"log_url": settings.log_root, "var": self._scratch})
        self._store = object_store(apart)
        self._connect = partial(connect, apart, small=True)
        self._settled: dict[str, int] = {}

    def compact(self, usecase: str, stream: str, now: datetime) -> Compaction:
        """Take a pass over the past dates of a stream; what fails costs its date, until the next pass.

        A date is past when it ended an hour ago, and every segment in the spool was opened on a later one. A segment of
        another machine that is shipped later still is a small file of the next pass.
        """
        done, root = Compaction(), partitions(self._settings, stream, usecase)
        opened = [segment.opened for segment in segments(self._settings.spool, usecase, stream)]
        present = f"{min([now - READING, *opened]):%Y-%m-%d}"
        for date in dates(self._store.names(root)):
            if date >= present or self._enough():
                break
            try:
                self._compact_date(_Partition(f"{root}/{date}", stream, now), done)
            except Exception:  # whatever DuckDB or the store raises
                _log.exception("%s could not be compacted", f"{root}/{date}")
            finally:
                self._clear()
        return done

    def _compact_date(self, at: _Partition, done: Compaction) -> None:
        names = self._store.names(at.folder)
        if self._settled.get(at.folder) == hash(tuple(names)):
            return
        for name in left_by_killed(names):
            self._store.remove(f"{at.folder}/{name}")
        files = [name for name in names if name.endswith(PARQUET) and not name.startswith(".")]
        small = {name for name in files if not name.startswith(COMPACTED)}
        large = [name for name in files if name.startswith(COMPACTED)]
        left, waits = self._remove_combined(at, large, small, done)
        if not self._combine(at, sorted(left), done) and not waits:
            self._settled[at.folder] = hash(tuple(names))

    def _remove_combined(
        self, at: _Partition, large: Sequence[str], small: Set[str], done: Compaction
    ) -> tuple[Set[str], bool]:
        """Remove small files that were combined long enough ago; returns those that never were, and if others wait."""
        waits = False
        for name in large:
            if not small:
                break
            origin = self._origin(f"{at.folder}/{name}", at.stream)
            combined = small & set(origin.sources)
            if at.now - READING >= origin.at:
                for source in sorted(combined):
                    self._store.remove(f"{at.folder}/{source}")
                done.removed += len(combined)
            else:
                waits = waits or bool(combined)
            small = small - combined
        return small, waits

    def _origin(self, name: str, stream: str) -> Metadata:
        """Read a large file's metadata: unknown if any value of it cannot be read, so that its sources stay."""
        [path] = self._store.local([name])
        _, broken = read_parquet(self._connect, {name: path}, COLUMNS[stream])
        found = {} if broken else metadata.read(self._connect, [path])
        self._clear()
        return found.get(path, _UNKNOWN)

    def _combine(self, at: _Partition, names: Sequence[str], done: Compaction) -> bool:
        """Write a large file for each batch of small ones; returns whether there was one."""
        made = False
        for batch in self._batches(at.folder, names) if len(names) > 1 else ():
            files = self._readable(batch, at.stream)
            if len(files) > 1:
                self._write(at, files)
                made, done.combined, done.large = True, done.combined + len(files), done.large + 1
            self._clear()
        return made

    def _batches(self, folder: str, names: Sequence[str]) -> Iterator[dict[str, Path]]:
        """Divide small files by size, and fetch those of one batch at a time."""
        batch: dict[str, Path] = {}
        size = 0
        for start in range(0, len(names), _FETCHED_AT_ONCE):
            some = names[start : start + _FETCHED_AT_ONCE]
            found = dict(zip(some, self._store.local([f"{folder}/{name}" for name in some]), strict=True))
            batch |= found
            size += sum(path.stat().st_size for path in found.values() if path.is_file())
            if len(batch) >= _MOST_FILES or size >= _MOST_BYTES:
                yield batch
                batch, size = {}, 0
                if self._enough():
                    return
        yield batch

    def _readable(self, batch: Mapping[str, Path], stream: str) -> dict[str, Path]:
        """Choose the files that can be combined: not broken ones, nor those of a newer release with other columns."""
        _, broken = read_parquet(self._connect, batch, COLUMNS[stream])
        refused = {each.file for each in broken}
        files = {name: path for name, path in batch.items() if name not in refused}
        if not files:
            return {}
        query = f"""SELECT DISTINCT file_name FROM parquet_schema({literals(files.values())})
            WHERE num_children IS NULL AND NOT list_contains({literals(COLUMNS[stream])}, name)"""
        with self._connect() as connection:
            newer = {Path(name) for (name,) in connection.execute(query).fetchall()}
        return {name: path for name, path in files.items() if path not in newer}

    def _write(self, at: _Partition, files: Mapping[str, Path]) -> None:
        """Combine small files into a large one, if all are still there: an erasure writes the rest of one anew."""
        queries, _ = read_parquet(self._connect, files, COLUMNS[at.stream])
        digest = hashlib.sha256(chr(10).join(sorted(files)).encode()).hexdigest()
        large = LargeFile(
            f"{at.folder}/{COMPACTED}{digest}{PARQUET}",
            at.stream,
            " UNION ALL BY NAME ".join(queries),
            sorted(files),
            at.now,
        )
        with self._connect() as connection:
            write_large(connection, self._store, large, partial(self._require_all, at, large.sources))

    def _require_all(self, at: _Partition, sources: Sequence[str]) -> None:
        if gone := set(sources) - set(self._store.names(at.folder)):
            raise DataError(f"{len(gone)} files of {at.folder} were rewritten meanwhile: the next pass combines them.")

    def _clear(self) -> None:
        """Remove copies and drafts; the next ones make the folder again."""
        shutil.rmtree(self._scratch, ignore_errors=True)


# As many different hashes as events mean as many different ids, and take less memory.
_RANGE = """SELECT count(*), count(DISTINCT hash("event.id")), min("event.id"), max("event.id"), min("@timestamp"),
    max("@timestamp") FROM ({rows})"""
_IDS = 'SELECT count(*) FROM (SELECT DISTINCT "event.id" FROM ({rows}))'
# Few events are there twice: to compare those alone takes little memory.
_EACH_ONCE = """WITH doubled AS MATERIALIZED (SELECT "event.id" FROM ({rows}) GROUP BY ALL HAVING count(*) > 1)
    FROM ({rows}) ANTI JOIN doubled USING ("event.id") UNION ALL BY NAME
    SELECT DISTINCT ON ("event.id") * FROM ({rows}) SEMI JOIN doubled USING ("event.id")"""


def write_large(
    connection: DuckDBPyConnection, store: ObjectStore, file: LargeFile, require: Callable[[], None] = lambda: None
) -> None:
    """Write a large file, and before it its sample: what a reader finds beside it is complete.

    Raises:
        DataError: not every event was written. What `require` raises before the file appears keeps it from that.
    """
    rows = file.rows
    [(expected, hashes, *ids, since, until)] = connection.execute(_RANGE.format(rows=rows)).fetchall()
    if hashes < expected:  # some events are there twice
        [(expected,)] = connection.execute(_IDS.format(rows=rows)).fetchall()
        rows = _EACH_ONCE.format(rows=rows)
    if file.stream == "prediction":
        with store.draft(sample.name(file.name)) as draft:
            copy(connection, sample.of_file(rows), draft, f"ROW_GROUP_SIZE {sample.ROW_GROUP}")
            require()
    origin = metadata.to_option(Metadata(file.at, [*file.sources], (ids[0], ids[1]), (since, until)))
    with store.draft(file.name) as draft:
        written = copy(connection, rows, draft, f"ROW_GROUP_SIZE {ROW_GROUP}, {origin}")
        if written != expected:
            raise DataError(f"{written:,} of {expected:,} events of {file.name} were written: nothing is removed.")
        require()


def copy(connection: DuckDBPyConnection, rows: str, draft: Path, options: str) -> int:
    """Write rows into a Parquet file; returns their number."""
    query = f"COPY ({rows}) TO {literal(draft)} (FORMAT parquet, COMPRESSION zstd, {options})"
    [(written,)] = connection.execute(query).fetchall()
    return written


def left_by_killed(names: Sequence[str]) -> list[str]:
    """Choose drafts, and samples that are beside no large file."""
    large = {sample.name(name) for name in names if name.startswith(COMPACTED) and name.endswith(PARQUET)}
    return [
        name
        for name in names
        if name.startswith(f".{COMPACTED}")
        or (name.startswith(COMPACTED) and name.endswith(SAMPLE) and name not in large)
    ]
