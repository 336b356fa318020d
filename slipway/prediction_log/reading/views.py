"""The events of a stream as views of one database: those in its spool, and in its Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.prediction_log.jsonl import connect, literal, quoted
from slipway.prediction_log.layout import BAD, PARQUET, SAMPLE, between, partitions
from slipway.prediction_log.left_out import LeftOut, kept_lines
from slipway.prediction_log.parquet_files import check, queries, recheck
from slipway.prediction_log.reading import sample
from slipway.prediction_log.reading.event_sets import EventSets, event_sets, is_between
from slipway.prediction_log.spool_reader import COLUMNS, read_spool
from slipway.storage.factory import object_store

if TYPE_CHECKING:
    from slipway.settings import Settings

Window = tuple[datetime | None, datetime | None]


class Views:
    """Views of the log as it is now, in a database of their own, and what they leave out."""

    def __init__(self, settings: Settings) -> None:
        self.left_out: list[LeftOut] = []
        self.connection = connect(settings)
        self._settings = settings
        self._connect = partial(connect, settings)
        self._files: dict[str, list[Path]] = {}

    def add(self, stream: str, usecase: str, window: Window, sampled: bool = False, believed: bool = False) -> None:
        """Make the views of a stream. With `sampled`, a compacted file has only its sample there if that is enough.
        With `believed`, no file is read before its use, and each event may be there several times.

        The spool is read before the Parquet is listed: what the shipper moves meanwhile is found in both, never in
        neither.
        """
        spooled = f"spooled_{stream}"
        self.left_out += read_spool(self.connection, spooled, self._settings.spool, usecase, stream)
        names, sets = self._listed(stream, partitions(self._settings, stream, usecase), window, spooled, believed)
        once = self._with_samples(stream, names, sets, window) if sampled else [*sets.once]
        read, none = partial(queries, columns=COLUMNS[stream]), f"FROM {spooled} WHERE false"
        shared = [
            f"FROM ({query}) WHERE {is_between(part)}"
            for path, part in sets.shared.items()
            for query in read([path], believed=True)
        ]
        for name, parts in (
            ("once", [none, *read(once, believed=True)]),
            ("rest", [f"FROM {spooled}", *read(sets.rest, believed=believed)]),
            ("shared", [none, *shared]),
        ):
            source = " UNION ALL BY NAME ".join(parts)
            self.connection.execute(f"CREATE TEMP VIEW {stream}_{name} AS FROM ({source}) WHERE {within(*window)}")

    def have_broken_files(self) -> bool:
        """Read all files through, and tell whether new views would leave any of them out."""
        found = [recheck(self._connect, files, COLUMNS[stream]) for stream, files in self._files.items()]
        return any(found)

    def _listed(
        self, stream: str, folder: str, window: Window, spooled: str, believed: bool
    ) -> tuple[list[str], EventSets]:
        """List the files and divide them, again if one of them is gone by then: an erasure has written what is left of
        it under another name."""
        store = object_store(self._settings)
        names = between(store, folder, *window)
        while True:
            files, bad = self._local(names, PARQUET), self._local(names, BAD)
            sets = self._sets(stream, files, None if believed else spooled)
            left_out, paths = [*sets.left_out, *kept_lines(bad)], files | bad
            is_there = all(paths[each.file].exists() for each in left_out)
            listed = names if is_there else between(store, folder, *window)
            if {each.file for each in left_out} <= set(listed):
                self.left_out += left_out
                return names, sets
            names = listed

    def _sets(self, stream: str, files: Mapping[str, Path], spooled: str | None) -> EventSets:
        """Divide the files by the events that they share with each other and the spool; without it, not at all."""
        self._files[stream] = [*files.values()]
        if spooled is None:
            rest, broken = check(self._connect, files, COLUMNS[stream], believed=True)
            return EventSets({}, rest, {}, broken)
        query = f'SELECT min("event.id"), max("event.id") FROM {spooled}'
        [(first, last)] = self.connection.execute(query).fetchall()
        return event_sets(self._connect, files, COLUMNS[stream], None if first is None else (first, last))

    def _with_samples(self, stream: str, names: Sequence[str], sets: EventSets, window: Window) -> list[Path]:
        """Replace each file that is wholly in the window by its sample, if that can be read."""
        samples = self._local(names, SAMPLE)
        sound, _ = check(self._connect, samples, COLUMNS[stream], believed=True)
        self._files[stream] += sound
        found = {path.stem: path for path in sound}
        return [
            found[path.stem] if path.stem in found and sample.is_within(metadata, *window) else path
            for path, metadata in sets.once.items()
        ]

    def _local(self, names: Sequence[str], ending: str) -> dict[str, Path]:
        """Files on this machine by the names that end so."""
        wanted = [name for name in names if name.endswith(ending)]
        return dict(zip(wanted, object_store(self._settings).local(wanted), strict=True))


def events(stream: str, where: str = "true") -> str:
    """Write the query of a stream's events that are chosen by a condition, each once."""
    return f"""FROM {stream}_once WHERE {where} UNION ALL SELECT DISTINCT ON ("event.id") * FROM {stream}_rest
        ANTI JOIN (SELECT "event.id" FROM {stream}_shared WHERE {where}) AS shared USING ("event.id") WHERE {where}"""


def with_copies(stream: str, where: str = "true") -> str:
    """Write the query of a stream's events that are chosen by a condition, some of them several times."""
    return f"FROM {stream}_once WHERE {where} UNION ALL FROM {stream}_rest WHERE {where}"


def having(stream: str, values: Mapping[str, str], where: str = "true") -> str:
    """Write the query of a stream's events that have one of the fields' values, some of them several times.

    Each field is a query of its own: of that DuckDB reads only the row groups that can have the value.
    """
    conditions = (f"{quoted(name)} = {literal(value)} AND {where}" for name, value in values.items())
    return " UNION ALL ".join(f"({with_copies(stream, condition)})" for condition in conditions)


def within(since: datetime | None, until: datetime | None) -> str:
    """Write the condition that an event is in the window."""
    bounds = [f'"@timestamp" >= {_literal(since)}'] if since else []
    bounds += [f'"@timestamp" < {_literal(until)}'] if until else []
    return " AND ".join(bounds) or "true"


def _literal(time: datetime) -> str:
    return f"TIMESTAMPTZ {literal(time.isoformat())}"
