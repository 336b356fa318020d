"""Batching: requests that wait for one model at the same time, answered by one run of its network.

No request waits for others: a thread that becomes free takes those that are queued. So a quiet server answers one by
one, and the batches of a busy one fill by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bentos.prediction import pipeline
from bentos.prediction.types import Outcome, ParsedRows, PredictionCall


class BatchRequest(Protocol):
    """A queued request. `complete` hands over its outcome; one that is not awaited is not run."""

    call: PredictionCall

    def is_awaited(self) -> bool: ...

    def complete(self, outcome: Outcome) -> None: ...


def run_batch(first: BatchRequest, claim_next: Callable[[], BatchRequest | None]) -> None:
    """Run a batch of `first` and of what `claim_next()` returns until the batch has its rows.

    A request that cannot be parsed, or that nobody awaits any more, leaves the batch.
    """
    live, context = first.call.live, first.call.context
    max_rows = live.batching.size
    batch: list[BatchRequest] = []
    parsed: list[ParsedRows] = []
    rows, request = 0, first
    while request is not None:
        one = _parse(request)
        if one is not None:
            batch.append(request)
            parsed.append(one)
            rows += len(one.ids)
        request = claim_next() if rows < max_rows and max_rows > 1 else None
    if not batch:
        return
    if max_rows > 1:
        context.metrics.of(context.metrics.batch_rows, context.usecase).observe(rows)
    try:
        outcomes = pipeline.run_batch([request.call for request in batch], parsed)
    except Exception as error:
        outcomes = [error for _ in batch]
    for request, outcome in zip(batch, outcomes, strict=True):
        request.complete(outcome)


def _parse(request: BatchRequest) -> ParsedRows | None:
    if request.is_awaited():
        try:
            return pipeline.parse(request.call)
        except Exception as error:
            request.complete(error)
    return None
