"""What a data stream holds already: the questions before a write, so that no document is in two of its indices.

Elasticsearch notices that an id is taken in the index that is written into, and not in those before a roll-over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitoring.log_shipping.sinks import SinkUnavailable
from slipway.clients.elasticsearch import failures
from slipway.clients.elasticsearch.streams import newest
from slipway.timestamps import iso

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


def present(client: Elasticsearch, stream: str, ids: Sequence[str]) -> set[str]:
    """Choose the ids that are anywhere in the stream.

    Raises:
        SinkUnavailable: a part of the stream cannot be searched.
    """
    most = 2 * len(ids)  # where one is there twice, no other may be missing in the response
    return set(_search(client, stream, {"ids": {"values": list(ids)}}, most))


def holds_any(client: Elasticsearch, stream: str, usecase: str, start: datetime, end: datetime) -> bool:
    """Whether the stream has a document of the use case in this time; one at its end counts.

    Raises:
        SinkUnavailable: a part of the stream cannot be searched.
    """
    window = {"gte": iso(start, "microseconds"), "lte": iso(end, "microseconds")}
    filters = [{"term": {"slipway.usecase": usecase}}, {"range": {"@timestamp": window}}]
    return bool(_search(client, stream, {"bool": {"filter": filters}}, 1))


def write_index(client: Elasticsearch, stream: str) -> str | None:
    """Name the index that the stream writes into until it rolls over; None where there is no such stream.

    Raises:
        SinkUnavailable: there is no response.
    """
    from elasticsearch import ApiError, NotFoundError, TransportError

    try:
        found = client.indices.get_settings(index=stream, name="index.uuid").body
    except NotFoundError:
        return None
    except (ApiError, TransportError) as error:
        raise SinkUnavailable(failures.explain(error)) from None
    return newest(found) if found else None


def _search(client: Elasticsearch, stream: str, query: Mapping[str, Any], most: int) -> list[str]:
    """Return ids of documents, those too that were written a moment ago; none where there is no such stream."""
    from elasticsearch import ApiError, NotFoundError, TransportError

    try:
        client.indices.refresh(index=stream)
        response = client.search(
            index=stream,
            query=query,
            size=most,
            source=False,
            track_total_hits=False,
            allow_partial_search_results=False,
            filter_path=["hits.hits._id", "timed_out"],
        )
    except NotFoundError:
        return []
    except (ApiError, TransportError) as error:
        raise SinkUnavailable(failures.explain(error)) from None
    if response.body.get("timed_out", True):
        raise SinkUnavailable("the search for what the stream has already was cut short")
    return [hit["_id"] for hit in response.body.get("hits", {}).get("hits", [])]
