"""Rewrites files of the shipped log without some events, so that no reader misses or doubles another.

A file never changes: what is left of it appears under another name, complete, and then the old one is removed. Readers
that find both read each event once. The new name is a digest of the old one and of what is left out, so that a
repetition after a kill replaces it. A reader, or a compaction, that finds the old one gone lists the files again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.partition_reader import Partition, PartitionReader, among
from slipway.errors import DataError
from slipway.prediction_log.compaction import ROW_GROUP, LargeFile, copy, left_by_killed, write_large
from slipway.prediction_log.jsonl import literal, literals
from slipway.prediction_log.layout import BAD, COMPACTED, PARQUET, REWRITTEN
from slipway.prediction_log.parquet_files import check
from slipway.prediction_log.reading import metadata, sample
from slipway.prediction_log.reading.metadata import Metadata
from slipway.prediction_log.spool_reader import COLUMNS
from slipway.system.files import file_sha256, open_regular

_REST = 'SELECT * FROM {file} ANTI JOIN (SELECT unnest({ids}) AS "event.id") AS erased USING ("event.id")'


def rewrite(reader: PartitionReader, at: Partition, ids: Collection[str]) -> None:
    """Rewrite the Parquet files of a partition that have any of these events.

    Raises:
        DataError: a file would lose other events; it stays.
        ServiceError, OSError: the log does not respond.
    """
    ordered = sorted(ids)
    for name in _without_combined(reader, at):
        [(erased,)] = reader.query(at, [name], "count(*)", among("event.id", ordered))
        if erased:
            _replace(reader, at, name, ordered, erased)


def remove_leftovers(reader: PartitionReader, at: Partition) -> None:
    """Remove drafts and samples that a killed process left: they may have events of the subject."""
    for name in left_by_killed(at.names):
        reader.store.remove(f"{at.folder}/{name}")


def rewrite_bad_lines(reader: PartitionReader, at: Partition, matcher: LineMatcher, *, dry_run: bool) -> int:
    """Rewrite the files of lines that are no events without those that name the subject; returns how many these are."""
    erased = 0
    for name in (name for name in at.names if name.endswith(BAD) and not name.startswith(".")):
        [path] = reader.store.local([f"{at.folder}/{name}"])
        if not path.exists():  # pruned meanwhile
            continue
        with open_regular(path) as lines:
            mentions = [matcher.mentions(line) for line in lines]
        if any(mentions) and not dry_run:
            if not all(mentions):
                new = _new_name(name, [file_sha256(path)], REWRITTEN, BAD)
                _keep_others(path, matcher, reader.store.draft(f"{at.folder}/{new}"))
            reader.store.remove(f"{at.folder}/{name}")
        erased += sum(mentions)
    return erased


def _keep_others(path: Path, matcher: LineMatcher, into: AbstractContextManager[Path]) -> None:
    with open_regular(path) as lines, into as draft, draft.open("wb") as rest:
        rest.writelines(line for line in lines if not matcher.mentions(line))


def _without_combined(reader: PartitionReader, at: Partition) -> list[str]:
    """Remove small files whose events a large one has, as compaction does an hour after it wrote that; returns the
    names of the others."""
    left = dict.fromkeys(at.files)
    for name in (name for name in at.files if name.startswith(COMPACTED)):
        for source in _sources(reader, at, name):
            if source in left:
                reader.store.remove(f"{at.folder}/{source}")
                del left[source]
    return [*left]


def _sources(reader: PartitionReader, at: Partition, name: str) -> list[str]:
    """The small files that a large one was made of; none if any value of it cannot be read."""
    path = at.files[name]
    _, broken = check(reader.connect, {name: path}, COLUMNS[at.stream])
    found = {} if broken else metadata.read(reader.connect, [path])
    return found[path].sources if path in found else []


def _replace(reader: PartitionReader, at: Partition, name: str, ids: list[str], erased: int) -> None:
    """Write what is left of a file, if anything is, and remove the file."""
    file, old = _read(at, name), f"{at.folder}/{name}"
    rest = _REST.format(file=file, ids=literals(ids))
    with reader.connect() as connection:
        counts = f"SELECT (SELECT count(*) FROM {file}), (SELECT count(*) FROM ({rest}))"
        [(total, left)] = connection.execute(counts).fetchall()
    if left != total - erased:
        raise DataError(f"{left:,} of {total:,} events of {old} would be left without {erased:,}: nothing is removed.")
    if left:
        _write(reader, at, name, rest, ids)
    reader.store.remove(old)
    if name.startswith(COMPACTED):
        reader.store.remove(sample.name(old))


def _write(reader: PartitionReader, at: Partition, name: str, rest: str, ids: list[str]) -> None:
    is_large = name.startswith(COMPACTED)
    new = f"{at.folder}/{_new_name(name, ids, COMPACTED if is_large else REWRITTEN, PARQUET)}"
    with reader.connect() as connection:
        if is_large:
            path = at.files[name]
            origin = metadata.read(reader.connect, [path]).get(path, Metadata(datetime.now(UTC), []))
            write_large(connection, reader.store, LargeFile(new, at.stream, rest, origin.sources, origin.at))
        else:
            with reader.store.draft(new) as draft:
                copy(connection, rest, draft, f"ROW_GROUP_SIZE {ROW_GROUP}")


def _read(at: Partition, name: str) -> str:
    """The whole file, also columns that this release does not know; a folder named `a=b` is no column of it."""
    return f"read_parquet({literal(at.files[name])}, hive_partitioning = false)"


def _new_name(name: str, left_out: list[str], prefix: str, ending: str) -> str:
    return prefix + hashlib.sha256("\n".join([name, *left_out]).encode()).hexdigest() + ending
