"""Sink that people search: a data stream of Elasticsearch for each stream of the log, with each event once.

`op_type: create` with the event's id keeps an event from being twice in one index. A data stream has several, so an
event that is sent again after a roll-over would be there twice. Therefore a part of a segment of which it is not known
whether it was sent (the shipper was killed, the response was lost) is compared with the whole stream first, and so is a
segment that waited for long, since a replay may have sent its events from Parquet meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from monitoring.log_shipping import checkpoints, refused_documents
from monitoring.log_shipping.delivery import Delivered, client_for_delivery, deliver
from monitoring.log_shipping.event_lines import Batch, batches
from monitoring.log_shipping.sinks import SinkUnavailable, Totals
from slipway.clients.elasticsearch import streams
from slipway.errors import SlipwayError
from slipway.prediction_log import Segment
from slipway.settings import Settings
from slipway.system.backoff import Backoff
from slipway.system.files import open_regular

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

AT_ONCE = 4
"""Bulks under way at the same time. As many of a segment may be unknown after a kill, and are compared."""

_REPLAYED_AFTER = timedelta(hours=1)
"""Age from which on a segment is compared: nobody replays what has just come, nor is a stream rolled over so soon."""

_Send = Callable[..., Delivered]


class ElasticsearchSink:
    """Sink in Elasticsearch. When it fails it rests, longer each time, and takes nothing meanwhile."""

    name = "Elasticsearch"
    at_once = 2  # so that bulks of the next segment follow where one ends

    def __init__(
        self,
        settings: Settings,
        totals: Totals,
        connect: Callable[[Settings], Elasticsearch] = client_for_delivery,
        backoff: Backoff | None = None,
    ) -> None:
        self._settings = settings
        self._totals = totals
        self._connect = connect
        self._client: Elasticsearch | None = None
        self._backoff = backoff or Backoff()
        self._reason = ""
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(AT_ONCE, "bulk")

    def take(self, usecase: str, segment: Segment) -> int:
        if self._backoff.remaining:
            raise SinkUnavailable(self._reason)
        try:
            events = self._take(usecase, segment)
        except (SlipwayError, OSError) as error:  # OSError: the spool's disk is full, say
            self._rest(str(error))
            raise SinkUnavailable(str(error)) from None
        self._backoff.succeeded()
        return events

    def _take(self, usecase: str, segment: Segment) -> int:
        send = partial(
            deliver,
            self._connected(),
            streams.stream(f"slipway.{segment.stream}", self._settings),
            retried=partial(self._count_retried, usecase),
        )
        with open_regular(segment.path) as file:
            return self._send_all(usecase, segment, file, send)

    def _send_all(self, usecase: str, segment: Segment, file: BinaryIO, send: _Send) -> int:
        """Send what follows the checkpoint, several bulks at once, and move it after each in their order.

        Of a segment that was begun before, bulks are compared until they are new: as many as were under way, or more
        where the checkpoint is older than it should be. A segment that a replay may have sent is compared alike.
        """
        start = checkpoints.read(segment)
        may_be_there = start is not None or datetime.now(UTC) - segment.opened > _REPLAYED_AFTER
        if start is None:
            checkpoints.write(segment, 0)
        events, found, sent = 0, False, deque[tuple[Batch, Future[Delivered]]]()
        try:
            for number, batch in enumerate(batches(file, start or 0)):
                if len(sent) == AT_ONCE:
                    found = self._settle(usecase, segment, *sent[0])
                    sent.popleft()
                ask = may_be_there and (number < AT_ONCE or found)
                sent.append((batch, self._threads.submit(send, batch.documents, ask=ask)))
                events += len(batch.documents)
            while sent:
                self._settle(usecase, segment, *sent[0])
                sent.popleft()
        finally:
            _end([future for _, future in sent])
        return events

    def _settle(self, usecase: str, segment: Segment, batch: Batch, future: Future[Delivered]) -> bool:
        """Wait until a bulk is acknowledged, keep what it refused, and move the checkpoint.

        Returns whether the bulk, or a part of it, was there before.
        """
        done = future.result()
        if done.refused:
            refused_documents.keep(segment, batch.start, done.refused)
            with self._lock:
                self._totals.refused[usecase] += len(done.refused)
        checkpoints.write(segment, batch.end)
        return done.found > 0

    def _connected(self) -> Elasticsearch:
        with self._lock:
            if self._client is None:
                self._client = self._connect(self._settings)
            return self._client

    def _rest(self, reason: str) -> None:
        """Rest for a while; several segments that fail together count once.

        Then a new client reads the API key and the certificates again: their files may have been replaced.
        """
        with self._lock:
            self._client = None
            if not self._backoff.remaining:
                self._reason = reason
                self._backoff.failed()

    def _count_retried(self, usecase: str, documents: int) -> None:
        with self._lock:
            self._totals.retried[usecase] += documents


def _end(futures: list[Future[Delivered]]) -> None:
    """Wait for bulks that nobody settles: none may be under way when their segment is taken again."""
    for future in futures:
        future.cancel()
    wait(futures)
