"""The subject's documents in Elasticsearch, and among those that it refused.

A data stream takes new documents only: one is found over the whole stream and deleted from the backing index that holds
it, however often the stream has rolled over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.subject import Subject, Traces, named_by
from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.shipper import LOCK
from slipway.clients.elasticsearch import streams
from slipway.clients.elasticsearch.connection import connect, is_configured
from slipway.clients.elasticsearch.failures import explained, reason
from slipway.errors import ServiceError
from slipway.prediction_log.layout import STREAMS
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.storage.base import MOST_BYTES
from slipway.system import locks
from slipway.system.files import read_regular, write_bytes
from slipway.texts import one_line

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_Place = tuple[str, str]  # backing index and id
_MOST_TERMS = 10_000  # of one query; Elasticsearch takes 65,536
_GONE = 404  # deleted by another erasure, or with its index


def erase_documents(config: Settings, subject: Subject, traces: Traces, *, dry_run: bool = False) -> int:
    """Delete the documents of the subject from this environment's streams; returns their number.

    Raises:
        ServiceError: Elasticsearch does not respond, or refuses it.
    """
    if not is_configured(config):
        return 0
    client = connect(config)
    with explained(config):
        found = {place for stream in STREAMS for place in _found(client, config, stream, subject, traces)}
        if found and not dry_run:
            _delete(client, sorted(found))
    return len(found)


def erase_refused(config: Settings, subject: Subject, traces: Traces, *, dry_run: bool = False) -> int:
    """Remove the subject's documents from the files of refused ones, in spool and object store; returns their number.

    The log has each of them, too: of a line it is enough to know that it mentions the subject.

    Raises:
        ServiceError, OSError: the log does not respond.
    """
    matchers = [LineMatcher(stream, subject, traces) for stream in STREAMS]
    store, erased = object_store(config), 0
    with locks.exclusive(config.spool / LOCK):  # else the shipper might move a file meanwhile
        for path in refused_documents.waiting(config.spool, subject.usecase):
            rest, found = _without(read_regular(path, MOST_BYTES), matchers)
            erased += found
            if found and not dry_run:
                write_bytes(path, rest) if rest else path.unlink()
    for name in refused_documents.names(config, store, subject.usecase):
        rest, found = _without(store.read(name), matchers)
        erased += found
        if found and not dry_run:
            store.put(name, rest) if rest else store.remove(name)
    return erased


def _found(client: Elasticsearch, config: Settings, stream: str, subject: Subject, traces: Traces) -> Iterator[_Place]:
    """Give the place of each document of a stream, of those too that no search shows yet."""
    from elasticsearch.helpers import ScanError, scan

    name = streams.stream(f"slipway.{stream}", config)
    client.indices.refresh(index=name, ignore_unavailable=True)
    try:
        for query in _queries(stream, subject, traces):
            hits = scan(client, query={"query": query, "_source": False}, index=name, ignore_unavailable=True)
            yield from ((hit["_index"], hit["_id"]) for hit in hits)
    except ScanError as error:
        raise ServiceError(
            f"Elasticsearch searched only a part of {name} ({one_line(str(error))}): run the same command again when "
            "all of its shards are there."
        ) from None


def _queries(stream: str, subject: Subject, traces: Traces) -> Iterator[dict[str, Any]]:
    usecase = {"term": {"slipway.usecase": subject.usecase}}
    for name, values in named_by(stream, subject, traces).items():
        ordered = sorted(values)
        for start in range(0, len(ordered), _MOST_TERMS):
            some = {"terms": {f"slipway.{name}": ordered[start : start + _MOST_TERMS]}}
            yield {"bool": {"filter": [usecase, some]}}


def _delete(client: Elasticsearch, places: Iterable[_Place]) -> None:
    from elasticsearch.helpers import BulkIndexError, bulk

    deletions = ({"_op_type": "delete", "_index": index, "_id": id} for index, id in places)
    try:
        bulk(client, deletions, ignore_status=_GONE, refresh=True)
    except BulkIndexError as error:
        [refused] = error.errors[0].values()
        raise ServiceError(
            f"Elasticsearch did not delete {len(error.errors)} documents of the subject from {refused['_index']} "
            f"({reason(refused)}). Remove its write block, if it has one, and run the same "
            "command again."
        ) from None


def _without(content: bytes, matchers: Sequence[LineMatcher]) -> tuple[bytes, int]:
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if not any(matcher.mentions(line) for matcher in matchers)]
    return b"".join(kept), len(lines) - len(kept)
