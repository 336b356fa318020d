"""Replay: Elasticsearch is filled again, from Parquet or with the documents that it refused before.

Nothing comes twice: each batch asks first which of its ids are in the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.bulk import Refusal
from monitoring.log_shipping.delivery import deliver
from monitoring.log_shipping.event_lines import Document, chunked
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
_HOUR = timedelta(hours=1)
_encode = msgspec.json.Encoder().encode


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
    done = Replayed()
    for stream, usecase, start, end in hours(settings, since, until):
        before = done.documents
        found = chunked(_documents(events(settings, stream, usecase, start, end), stream))
        for number, documents in enumerate(found):
            name = f"replayed-{stream}-{for_name(start)}-{number}.jsonl"
            _send(settings, client, stream, documents, f"{refused_documents.folder(settings, usecase)}/{name}", done)
        if done.documents > before:
            say(f"{usecase}: {done.documents - before} {stream} events from {iso(start, 'seconds')} on")
    return done


def replay_refused(settings: Settings, client: Elasticsearch) -> Replayed:
    """Send refused documents again; those that are refused still are kept, with the new reason."""
    store, done = object_store(settings), Replayed()
    for usecase in refused_documents.usecases(settings, store):
        for name in refused_documents.names(settings, store, usecase):
            _send_again(settings, client, store, name, done)
    return done


def hours(settings: Settings, since: datetime, until: datetime) -> Iterator[tuple[str, str, datetime, datetime]]:
    """Yield stream, use case, begin and end of each hour of the time on whose date Parquet has something."""
    store = object_store(settings)
    for usecase in usecases(store, settings):
        for stream in STREAMS:
            for date in dates(store.names(partitions(settings, stream, usecase))):
                day = parse(date)
                for start in (day + number * _HOUR for number in range(24)):
                    if start < until and start + _HOUR > since:
                        yield stream, usecase, max(start, since), min(start + _HOUR, until)


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


def _send(
    settings: Settings, client: Elasticsearch, stream: str, documents: list[Document], name: str, done: Replayed
) -> None:
    """Send documents, and keep what is refused in an object of that name."""
    refused = deliver(client, streams.stream(f"slipway.{stream}", settings), documents, ask=True).refused
    done.documents += len(documents) - len(refused)
    done.refused += len(refused)
    if refused:
        object_store(settings).put(name, refused_documents.lines(stream, refused))


def _documents(relation: DuckDBPyRelation, stream: str) -> Iterator[Document]:
    names = relation.columns
    while rows := relation.fetchmany(ROWS):
        for row in rows:
            yield document(dict(zip(names, row, strict=True)), COLUMNS[stream])


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
