"""Requests at a steady pace, over a few connections that stay open, and what became of each.

The pace is that of callers, who do not wait for each other's answers: a slow answer delays no other request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.clients.service import ServiceClient
from slipway.errors import ServiceError

if TYPE_CHECKING:
    from monitoring.labels.upload import Track

CONNECTIONS = 8


@dataclass(frozen=True)
class Outcome:
    """One answered or failed request; `id` names the prediction that a label may follow."""

    row: int
    seconds: float
    version: str = ""
    id: str = ""
    reason: str = ""


def send_each(
    url: str, usecase: str, rows: Sequence[dict[str, Any]], rate: float, track: Track | None, stopped: threading.Event
) -> Iterator[Outcome]:
    """Predicts row i at i / rate seconds, each in a request of its own; the outcomes come in the rows' order, and end
    early once `stopped` is set."""
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
        answered: Iterable[Outcome] = pool.map(one, range(len(rows)))
        yield from track(answered, f"traffic to {usecase}", len(rows)) if track else answered
    except CancelledError:
        return
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _request(client: ServiceClient, path: str, row: int, instance: dict[str, Any]) -> Outcome:
    began = time.monotonic()
    try:
        answer = client.post(path, {"instances": [instance]})
    except ServiceError as error:
        return Outcome(row, time.monotonic() - began, reason=str(error))
    seconds = time.monotonic() - began
    if answer.status != 200:
        return Outcome(row, seconds, reason=answer.problem)
    try:
        return Outcome(row, seconds, str(answer.document["model"]["version"]), answer.document["predictions"][0]["id"])
    except (TypeError, KeyError, IndexError):
        return Outcome(row, seconds, reason="200, but not an answer of the form that is documented")
