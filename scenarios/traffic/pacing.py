"""Open-loop load: requests at a steady rate over a few persistent connections, with the outcome of each.

As with independent clients, a slow response delays no other request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from slipway.clients.service import ServiceClient
from slipway.errors import ServiceError

if TYPE_CHECKING:
    from monitoring.labels.upload import Track

CONNECTIONS = 8


class _Model(Struct):
    version: str


class _Prediction(Struct):
    id: str


class _Predictions(Struct):
    """What is read of the response to a prediction request of one row."""

    model: _Model
    predictions: Annotated[list[_Prediction], Meta(min_length=1)]


@dataclass(frozen=True)
class Outcome:
    """Outcome of one request; `id` is the prediction that a label can refer to, `reason` why the request failed."""

    row: int
    seconds: float
    version: str = ""
    id: str = ""
    reason: str = ""


def send_each(
    url: str, usecase: str, rows: Sequence[dict[str, Any]], rate: float, track: Track | None, stopped: threading.Event
) -> Iterator[Outcome]:
    """Send row i at i / rate seconds, one per request, and yield the outcomes in the rows' order.

    The iterator ends early once `stopped` is set.
    """
    local = threading.local()
    started = time.monotonic()
    path = f"/v1/models/{usecase}/predict"

    def one(row: int) -> Outcome:
        if not hasattr(local, "client"):
            local.client = ServiceClient(url)
        if stopped.wait(max(0.0, started + row / rate - time.monotonic())):
            raise CancelledError
        return _request(local.client, path, row, rows[row])

    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        outcomes: Iterable[Outcome] = pool.map(one, range(len(rows)))
        yield from track(outcomes, f"traffic to {usecase}", len(rows)) if track else outcomes
    except CancelledError:
        return
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _request(client: ServiceClient, path: str, row: int, instance: dict[str, Any]) -> Outcome:
    began = time.monotonic()
    try:
        response = client.post(path, {"instances": [instance]})
    except ServiceError as error:
        return Outcome(row, time.monotonic() - began, reason=str(error))
    seconds = time.monotonic() - began
    if response.status != 200:
        return Outcome(row, seconds, reason=response.problem)
    try:
        found = response.read(_Predictions)
    except ServiceError as error:
        return Outcome(row, seconds, reason=f"200, but not a prediction response: {error}")
    return Outcome(row, seconds, found.model.version, found.predictions[0].id)
