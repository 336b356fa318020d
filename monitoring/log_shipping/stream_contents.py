"""What a data stream holds already: the questions before a write, so that no document is in two of its indices.

Elasticsearch notices that an id is taken in the index that is written into, and not in those before a roll-over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

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
    from elasticsearch import ApiError, NotFoundError, TransportError

    try:
        client.indices.refresh(index=stream)  # what was written a moment ago is not found otherwise
        response = client.search(
            index=stream,
            query={"ids": {"values": list(ids)}},
            size=2 * len(ids),  # where one is there twice, no other may be missing in the response
            source=False,
            track_total_hits=False,
            allow_partial_search_results=False,
            filter_path=["hits.hits._id", "timed_out"],
        )
    except NotFoundError:
        return set()
    except (ApiError, TransportError) as error:
        raise SinkUnavailable(failures.explain(error)) from None
    if response.body.get("timed_out", True):
        raise SinkUnavailable("the search for the ids of interrupted bulks was cut short")
    return {hit["_id"] for hit in response.body.get("hits", {}).get("hits", [])}


def holds_any(client: Elasticsearch, stream: str, usecase: str, start: datetime, end: datetime) -> bool:
    """Whether the stream has a document of the use case in this time; one at its end counts.

    Raises:
        SinkUnavailable: a part of the stream cannot be searched.
    """
    from elasticsearch import ApiError, NotFoundError, TransportError

    window = {"gte": iso(start, "microseconds"), "lte": iso(end, "microseconds")}
    filters = [{"term": {"slipway.usecase": usecase}}, {"range": {"@timestamp": window}}]
    try:
        client.indices.refresh(index=stream)  # what was written a moment ago is not found otherwise
        response = client.search(
            index=stream,
            query={"bool": {"filter": filters}},
            size=1,
            source=False,
            track_total_hits=False,
            allow_partial_search_results=False,
            filter_path=["hits.hits._id", "timed_out"],
        )
    except NotFoundError:
        return False
    except (ApiError, TransportError) as error:
        raise SinkUnavailable(failures.explain(error)) from None
    if response.body.get("timed_out", True):
        raise SinkUnavailable("the search for events of an hour was cut short")
    return bool(response.body.get("hits"))


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
