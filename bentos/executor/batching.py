"""Batch: requests that wait for one model at the same time, answered by one run of its network.

None waits for company: a thread that becomes free takes what is there. So a quiet server answers one by one, and the
batches of a busy one fill by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bentos.prediction.pipeline import answered, read
from bentos.prediction.types import ParsedRows, PredictionCall


class Asking(Protocol):
    """A request that waits. `done` tells it what came of it."""

    call: PredictionCall

    @property
    def wanted(self) -> bool: ...

    def done(self, outcome: bytes | Exception) -> None: ...


def answer_together(first: Asking, another: Callable[[], Asking | None]) -> None:
    """Answer it, and with it what `another()` gives until the batch has its rows; each is told of its own outcome.

    What cannot be read leaves the batch, and so does what nobody wants any more.
    """
    live, served = first.call.live, first.call.served
    most = live.batching.size
    batch: list[Asking] = []
    asked: list[ParsedRows] = []
    rows, job = 0, first
    while job is not None:
        one = _read(job)
        if one is not None:
            batch.append(job)
            asked.append(one)
            rows += len(one.ids)
        job = another() if rows < most and most > 1 else None
    if not batch:
        return
    if most > 1:
        served.metrics.of(served.metrics.batch_rows, served.name).observe(rows)
    try:
        outcomes = answered([job.call for job in batch], asked)
    except Exception as error:
        outcomes = [error for _ in batch]
    for job, outcome in zip(batch, outcomes, strict=True):
        job.done(outcome)


def _read(job: Asking) -> ParsedRows | None:
    if job.wanted:
        try:
            return read(job.call)
        except Exception as error:
            job.done(error)
    return None
