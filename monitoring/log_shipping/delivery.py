"""Delivery of documents to a data stream: each is in it once, or refused with a reason, or the sink is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitoring.log_shipping.bulk import Refusal, create
from monitoring.log_shipping.event_lines import Document
from monitoring.log_shipping.sinks import SinkUnavailable
from monitoring.log_shipping.stream_contents import present
from slipway.clients.elasticsearch.connection import connect
from slipway.system.backoff import pause

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from slipway.settings import Settings

ATTEMPTS = 5
REQUEST_SECONDS = 60.0
_FIRST_PAUSE, _MOST_PAUSE = 0.5, 8.0


@dataclass
class Delivered:
    """Result of a delivery: what was refused, and how many documents were in the stream before."""

    refused: list[Refusal] = field(default_factory=list)
    found: int = 0


def client_for_delivery(settings: Settings) -> Elasticsearch:
    """Make a client that sends a request once.

    Its own retries would send a bulk again whose fate is not known: after a roll-over, each event would be there twice.
    """
    client = connect(settings, timeout=REQUEST_SECONDS)
    return client.options(max_retries=0, retry_on_status=(), retry_on_timeout=False)


def deliver(
    client: Elasticsearch,
    stream: str,
    documents: Sequence[Document],
    *,
    ask: bool,
    retried: Callable[[int], None] = lambda count: None,
) -> Delivered:
    """Deliver documents.

    With `ask`, those that are somewhere in the stream already are left out: needed where it is not known whether they
    were sent before. What the server is too busy for is sent again, later each time.

    Raises:
        SinkUnavailable: not all are delivered; the next time, ask.
    """
    done = Delivered()
    if ask and documents:
        there = present(client, stream, [document.id for document in documents])
        done.found = len(there)
        documents = [document for document in documents if document.id not in there]
        retried(len(documents))
    for attempt in range(ATTEMPTS):
        if not documents:
            return done
        outcome = create(client, stream, documents)
        done.refused += outcome.refused
        documents = outcome.rejected
        if documents and attempt < ATTEMPTS - 1:
            retried(len(documents))
            time.sleep(max(outcome.wait, pause(attempt, _FIRST_PAUSE, _MOST_PAUSE)))
    if documents:
        raise SinkUnavailable(f"{len(documents)} documents were rejected {ATTEMPTS} times. {outcome.reason}")
    return done
