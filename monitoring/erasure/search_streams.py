"""The subject's documents in Elasticsearch, which are removed from the backing indices that hold them.

A data stream takes new documents only: a document is found over the whole stream and deleted where it is, however often
the stream has rolled over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from monitoring.erasure.subject import FEEDBACK, PREDICTION, Subject, Traces, named_by
from slipway.clients.elasticsearch import streams
from slipway.clients.elasticsearch.connection import connect, is_configured
from slipway.errors import ServiceError
from slipway.settings import Settings
from slipway.texts import one_line

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_STREAMS = {PREDICTION: streams.PREDICTION, FEEDBACK: streams.FEEDBACK}
_MOST_TERMS = 10_000  # of one query; Elasticsearch takes 65,536
_GONE = 404  # deleted by another erasure, or with its index


def erase_documents(config: Settings, subject: Subject, traces: Traces, *, dry_run: bool = False) -> int:
    """Delete the documents of the subject from this environment's streams; returns their number.

    Raises:
        ServiceError: Elasticsearch does not respond, or refuses it.
    """
    if not is_configured(config):
        return 0
    from elasticsearch import ApiError, TransportError
    from elasticsearch.helpers import BulkIndexError, ScanError, bulk

    client = connect(config)
    try:
        found = {place for stream in _STREAMS for place in _found(client, config, stream, subject, traces)}
        if found and not dry_run:
            bulk(client, map(_deletion, sorted(found)), ignore_status=_GONE, refresh=True)
    except (ApiError, TransportError, BulkIndexError, ScanError) as error:
        raise ServiceError(
            f"Elasticsearch did not delete the subject's documents ({one_line(str(error))}). Its key needs the "
            "privileges `read`, `maintenance` and `delete` on the streams; an index that is read-only needs "
            "its block removed. Run the same command again then."
        ) from None
    return len(found)


def _found(
    client: Elasticsearch, config: Settings, stream: str, subject: Subject, traces: Traces
) -> Iterator[tuple[str, str]]:
    """Give backing index and id of each document of a stream, of those too that no search shows yet."""
    from elasticsearch.helpers import scan

    name = streams.stream(_STREAMS[stream], config)
    client.indices.refresh(index=name, ignore_unavailable=True)
    for query in _queries(stream, subject, traces):
        hits = scan(client, query={"query": query, "_source": False}, index=name, ignore_unavailable=True)
        yield from ((hit["_index"], hit["_id"]) for hit in hits)


def _deletion(place: tuple[str, str]) -> dict[str, str]:
    index, id_ = place
    return {"_op_type": "delete", "_index": index, "_id": id_}


def _queries(stream: str, subject: Subject, traces: Traces) -> Iterator[dict[str, Any]]:
    usecase = {"term": {"slipway.usecase": subject.usecase}}
    for name, values in named_by(stream, subject, traces).items():
        ordered = sorted(values)
        for start in range(0, len(ordered), _MOST_TERMS):
            some = {"terms": {f"slipway.{name}": ordered[start : start + _MOST_TERMS]}}
            yield {"bool": {"filter": [usecase, some]}}
