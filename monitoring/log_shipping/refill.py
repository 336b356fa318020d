"""Replay: Elasticsearch is filled again, from Parquet or with the documents that it refused before.

Nothing comes twice: each batch asks first which of its ids are in the stream, unless the stream has had nothing of the
hour and still writes into the same index, in which an id cannot be twice. Several batches are under way at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.bulk import Refusal
from monitoring.log_shipping.delivery import deliver
from monitoring.log_shipping.event_lines import Document, chunked
from monitoring.log_shipping.stream_contents import holds_any, write_index
from slipway.clients.elasticsearch import streams
from slipway.prediction_log import Log
from slipway.prediction_log.layout import STREAMS, dates, partitions, usecases
from slipway.prediction_log.spool_reader import COLUMNS
from slipway.settings import Settings
from slipway.storage import ObjectStore, object_store
from slipway.timestamps import for_name, iso, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation
    from elasticsearch import Elasticsearch

ROWS = 2_000  # that DuckDB hands over at once
AT_ONCE = 4  # bulks under way
_HOUR = timedelta(hours=1)
_encode = msgspec.json.Encoder().encode


class Hour(NamedTuple):
    """An hour of a stream, or the part of it that is asked for."""

    stream: str
    usecase: str
    start: datetime
    end: datetime


class _Part(NamedTuple):
    """Some documents of an hour; `free` is the index in which only this replay can have written something of it."""

    hour: Hour
    number: int
    documents: list[Document]
    free: str | None


class _Sent(NamedTuple):
    part: _Part
    refused: list[Refusal]


@dataclass
class Replayed:
    """What a replay did: documents that are in Elasticsearch now, and those that it refuses."""

    documents: int = 0
    refused: int = 0


def replay(
    settings: Settings, client: Elasticsearch, since: datetime, until: datetime, say: Callable[[str], None]
) -> Replayed:
    """Send every event of the time that Elasticsearch lacks, as Parquet has it. What is refused is kept.

    Raises:
        SinkUnavailable: it ended early; the same command goes on.
    """
    parts = (part for hour in hours(settings, since, until) for part in _parts(settings, client, hour))
    done, store = Replayed(), object_store(settings)
    for hour, sent in groupby(_in_parallel(partial(_send, settings, client), parts), lambda each: each.part.hour):
        before = done.documents
        for part, refused in sent:
            done.documents += len(part.documents) - len(refused)
            done.refused += len(refused)
            if refused:
                store.put(_kept_as(settings, part), refused_documents.lines(hour.stream, refused))
        if done.documents > before:
            say(f"{hour.usecase}: {done.documents - before} {hour.stream} events from {iso(hour.start, 'seconds')} on")
    return done


def replay_refused(settings: Settings, client: Elasticsearch) -> Replayed:
    """Send refused documents again; those that are refused still are kept, with the new reason."""
    store, done = object_store(settings), Replayed()
    for usecase in refused_documents.usecases(settings, store):
        for name in refused_documents.names(settings, store, usecase):
            _send_again(settings, client, store, name, done)
    return done


def hours(settings: Settings, since: datetime, until: datetime) -> Iterator[Hour]:
    """Yield each hour of the time on whose date Parquet has something."""
    store = object_store(settings)
    for usecase in usecases(store, settings):
        for stream in STREAMS:
            for date in dates(store.names(partitions(settings, stream, usecase))):
                day = parse(date)
                for start in (day + number * _HOUR for number in range(24)):
                    if start < until and start + _HOUR > since:
                        yield Hour(stream, usecase, max(start, since), min(start + _HOUR, until))


def events(settings: Settings, stream: str, usecase: str, since: datetime, until: datetime) -> DuckDBPyRelation:
    """Read every event of a stream, those that no client got and those of tests, too."""
    log = Log(settings)
    if stream == "feedback":
        return log.feedback(usecase, since, until)
    return log.predictions(usecase, since, until, answered=False, tests=True)


def document(row: Mapping[str, Any], columns: Mapping[str, str]) -> Document:
    """Make the document of an event out of its columns, as the server wrote it; what is absent stays absent."""
    root: dict[str, Any] = {}
    for name, kind in columns.items():
        if (value := row.get(name)) is None:
            continue
        *parents, leaf = name.split(".")
        place = root
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = _value(value, kind)
    return Document(row["event.id"], _encode(root))


def _value(value: Any, kind: str) -> Any:
    if kind == "JSON":
        return msgspec.Raw(value.encode())
    return iso(value, "microseconds") if isinstance(value, datetime) else value


def _parts(settings: Settings, client: Elasticsearch, hour: Hour) -> Iterator[_Part]:
    relation = events(settings, hour.stream, hour.usecase, hour.start, hour.end)
    # Reads everything: a file that is damaged inside is left out from now on
    [(found, *_)] = relation.aggregate("count(*), bit_xor(hash(COLUMNS(*)))").fetchall()
    if not found:
        return
    in_order = relation.order('"event.id"')  # so that a part has the same documents in the next replay
    free = _free_index(settings, client, hour)
    for number, documents in enumerate(chunked(_documents(in_order, hour.stream))):
        yield _Part(hour, number, documents, free)


def _free_index(settings: Settings, client: Elasticsearch, hour: Hour) -> str | None:
    """Name the index that the stream writes into, if it has nothing of the hour. The name comes first, then the search:
    what another writes in between is in that index, or is found."""
    target = _target(settings, hour)
    index = write_index(client, target)
    return None if holds_any(client, target, hour.usecase, hour.start, hour.end) else index


def _documents(relation: DuckDBPyRelation, stream: str) -> Iterator[Document]:
    """Read documents, of which a few are in memory at a time."""
    for rows in relation.to_arrow_reader(ROWS):
        for row in rows.to_pylist():
            yield document(row, COLUMNS[stream])


def _send(settings: Settings, client: Elasticsearch, part: _Part) -> _Sent:
    target = _target(settings, part.hour)
    ask = part.free is None or write_index(client, target) != part.free
    return _Sent(part, deliver(client, target, part.documents, ask=ask).refused)


def _target(settings: Settings, hour: Hour) -> str:
    return streams.stream(f"slipway.{hour.stream}", settings)


def _kept_as(settings: Settings, part: _Part) -> str:
    """Name the object that keeps what is refused of a part: the same at each replay of the hour."""
    stream, usecase, start, _ = part.hour
    return f"{refused_documents.folder(settings, usecase)}/replayed-{stream}-{for_name(start)}-{part.number}.jsonl"


def _in_parallel(send: Callable[[_Part], _Sent], parts: Iterable[_Part]) -> Iterator[_Sent]:
    """Yield what became of the parts, in their order; a few are under way at a time."""
    with ThreadPoolExecutor(AT_ONCE, "replay") as threads:
        under_way: deque[Future[_Sent]] = deque()
        for part in parts:
            if len(under_way) == AT_ONCE:
                yield under_way.popleft().result()
            under_way.append(threads.submit(send, part))
        while under_way:
            yield under_way.popleft().result()


def _send_again(settings: Settings, client: Elasticsearch, store: ObjectStore, name: str, done: Replayed) -> None:
    """Send the documents of one file, which then goes, or keeps what is refused still."""
    by_stream: dict[str, list[Document]] = {}
    for stream, found in refused_documents.read(store.read(name)):
        by_stream.setdefault(stream, []).append(found)
    still: list[tuple[str, list[Refusal]]] = []
    for stream, documents in by_stream.items():
        target = streams.stream(f"slipway.{stream}", settings)
        for some in chunked(documents):
            refused = deliver(client, target, some, ask=True).refused
            done.documents += len(some) - len(refused)
            done.refused += len(refused)
            still.append((stream, refused))
    if kept := b"".join(refused_documents.lines(stream, refused) for stream, refused in still):
        store.put(name, kept)
    else:
        store.remove(name)
