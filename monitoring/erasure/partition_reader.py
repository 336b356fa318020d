"""Reads the shipped log file by file, whatever of it is broken, from copies that leave nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.prediction_log.jsonl import connect, literals
from slipway.prediction_log.layout import PARQUET, dates, partitions, pruned_dates
from slipway.prediction_log.parquet_files import check, queries, recheck
from slipway.prediction_log.spool_reader import COLUMNS, create
from slipway.storage import object_store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from slipway.settings import Settings


@dataclass(frozen=True)
class Partition:
    """A date of a stream: its folder, the names in it, and its Parquet files on this machine by name."""

    stream: str
    folder: str
    names: Sequence[str]
    files: Mapping[str, Path]


class PartitionReader:
    """Reads partitions one after the other; `unreadable` has the files that could not be read, and why.

    Copies of objects lie in a folder of their own, and are removed with each partition.
    """

    def __init__(self, config: Settings) -> None:
        self.unreadable: dict[str, str] = {}
        self._config = config
        self._scratch = config.var / "tmp" / "erasure"
        apart = config.model_copy(update={"log_url": config.log_root, "var": self._scratch})
        self.store = object_store(apart)
        self.connect = partial(connect, apart, small=True)

    def partitions(self, stream: str, usecase: str) -> Iterator[Partition]:
        """Give each date of a stream, those too that pruning has hidden and not removed yet."""
        root = partitions(self._config, stream, usecase)
        names = self.store.names(root)
        for date in sorted([*dates(names), *pruned_dates(names)]):
            try:
                yield self._partition(stream, f"{root}/{date}")
            finally:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def query(self, at: Partition, names: Sequence[str], select: str, where: str) -> list[tuple[Any, ...]]:
        """Select expressions of the events in these files; a column that no file has is null."""
        columns = COLUMNS[at.stream]
        sound, broken = check(self.connect, {name: at.files[name] for name in names}, columns, believed=True)
        self.unreadable |= {f"{at.folder}/{each.file}": each.why for each in broken if at.files[each.file].exists()}
        try:
            with self.connect() as connection:
                return _rows(connection, at.stream, sound, f"SELECT {select} FROM events WHERE {where}")
        except Exception:  # DuckDB raises its own errors and others, such as UnicodeDecodeError
            if not recheck(self.connect, sound, columns):
                raise
            return self.query(at, names, select, where)

    def _partition(self, stream: str, folder: str) -> Partition:
        names = self.store.names(folder)
        parquet = [name for name in names if name.endswith(PARQUET) and not name.startswith(".")]
        paths = self.store.local([f"{folder}/{name}" for name in parquet])
        return Partition(stream, folder, names, dict(zip(parquet, paths, strict=True)))


def among(name: str, values: Sequence[str]) -> str:
    """Write the condition that a column has one of the values; false where it is null."""
    return f'coalesce("{name}" IN (SELECT unnest({literals(values)}::VARCHAR[])), false)'


def _rows(connection: DuckDBPyConnection, stream: str, files: Sequence[Path], query: str) -> list[tuple[Any, ...]]:
    create(connection, "no_events", stream)
    parts = ["FROM no_events", *queries(files, COLUMNS[stream], believed=True)]
    return connection.execute(f"WITH events AS ({' UNION ALL BY NAME '.join(parts)}) {query}").fetchall()
