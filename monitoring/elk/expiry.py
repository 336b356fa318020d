"""Expiry of events of use cases whose `retention_days` are fewer than those of the stream that they share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitoring.elk.retention import shorter, stream_days
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import FEEDBACK, PREDICTION, stream
from slipway.settings import Settings
from slipway.timestamps import iso

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


def expire(
    client: Elasticsearch, config: Settings, by_usecase: Mapping[str, int | None], now: datetime
) -> dict[str, datetime]:
    """Start the deletion of expired events; returns the time before which they go, by use case.

    It runs on in Elasticsearch. What is left of it, after a restart there, is deleted by the next call.

    Raises:
        ServiceError: Elasticsearch does not take it.
    """
    found = {}
    for usecase, days in shorter(by_usecase, stream_days(config, by_usecase)[PREDICTION]).items():
        found[usecase] = now - timedelta(days=days)
        with explained(config):
            client.delete_by_query(
                index=[stream(PREDICTION, config), stream(FEEDBACK, config)],
                query=expired(usecase, found[usecase]),
                conflicts="proceed",
                ignore_unavailable=True,
                wait_for_completion=False,
            )
    return found


def expired(usecase: str, before: datetime) -> dict[str, Any]:
    """The query for a use case's events from before that time."""
    filters = [{"term": {"slipway.usecase": usecase}}, {"range": {"@timestamp": {"lt": iso(before)}}}]
    return {"bool": {"filter": filters}}
