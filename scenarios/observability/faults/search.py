"""Faults of Elasticsearch, the second copy of the prediction log: it takes nothing, or it refuses a document."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scenarios.observability.deployment import Deployment
from scenarios.observability.faults.fault import fault
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import PREDICTION, stream
from slipway.ids import uuid7
from slipway.prediction_log import Writer
from slipway.settings import settings
from slipway.timestamps import now_iso

_FULL = "index.blocks.read_only_allow_delete"  # what Elasticsearch sets itself where its disk is full
_LONG = 600  # bytes; an id of Elasticsearch has at most 512


@fault("Elasticsearch's disk is full (threshold: 10 s)", "SlipwaySearchBehind")
def search_read_only(deployment: Deployment) -> Iterator[None]:
    deployment.set_thresholds(slipway_search_lag_seconds=10)
    _set_full(True)
    try:
        yield
    finally:
        _set_full(None)  # the server may be one that goes on
    deployment.set_thresholds()


@fault("Elasticsearch refuses a document", "SlipwayDocumentsRefused")
def document_refused(deployment: Deployment) -> Iterator[None]:
    event = {
        "@timestamp": now_iso(),
        "event": {"id": uuid7().ljust(_LONG, "0")},
        "slipway": {"usecase": deployment.name, "test": True},
    }
    writer = Writer(settings().spool, deployment.name, "prediction")
    writer.write(json.dumps(event).encode())
    writer.close()
    yield


def _set_full(value: bool | None) -> None:
    connect(settings()).indices.put_settings(index=stream(PREDICTION, settings()), settings={_FULL: value})
