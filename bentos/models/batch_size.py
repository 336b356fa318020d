"""Batching: how many rows a model's network is given at once, as measured when the model is loaded.

Where one run for several rows is not clearly faster than several runs, there are no batches. Nor is there ever a wait
for a batch to fill (see bentos.executor.batching), so what is measured is the network alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from bentos.models import LoadedModel

SIZES = (1, 2, 4, 8, 16, 32)
LEAST_GAIN = 1.2
CLOSE = 0.95  # of the best size's gain is enough for a smaller one, whose answers come sooner
DEADLINE_SHARE = 0.1  # of its deadline is what a batch may take
TOLERANCE = 1e-5
MOST_SECONDS = 0.4
LONG = 0.05  # of MOST_SECONDS for one row
_ROUNDS = 3  # at least, where a size is tried at all
Feeds = Mapping[str, np.ndarray]
Clock = Callable[[], float]


class BatchSize(msgspec.Struct, frozen=True):
    """`size` rows at most are collected for one run; 1: each request has its own. `gain` is how many times as many rows
    the network gets done with batches of this size, or of the best one where none is used."""

    size: int
    reason: str
    gain: float | None = None
    wait_ms: int = 0


ALONE = BatchSize(1, "not measured")


def tune_batch_size(live: LoadedModel, mode: str, clock: Clock = time.perf_counter) -> BatchSize:
    """What is best for this model on this device; `mode` is SLIPWAY_BATCHING. Takes about MOST_SECONDS at most."""
    if mode == "off":
        return BatchSize(1, "SLIPWAY_BATCHING is off")
    if live.inline_bytes >= 0:
        return BatchSize(1, "the model answers in less time than a queue would take")
    if live.cache is not None:
        return BatchSize(1, "rows are looked up in the cache, request by request")
    return measured(live.predictor.run, live.predictor.encode(live.probe_rows), live.deadline, clock)


def measured(
    run: Callable[[Feeds], np.ndarray], rows: Feeds, deadline: float, clock: Clock = time.perf_counter
) -> BatchSize:
    """The choice, from the least of interleaved times of each size; `rows` are repeated to make the batches."""
    feeds = {size: _repeated(rows, size) for size in SIZES}
    one = min(_time(run, feeds[1], clock) for _ in range(2))
    if one > MOST_SECONDS * LONG:
        return BatchSize(1, f"one row takes {one * 1e3:.3g} ms, which is too long to try several")
    if not _independent(run, feeds[2]):
        return BatchSize(1, "the network does not answer several rows as it answers each alone")
    least = _times(run, feeds, deadline, clock)
    gains = {size: size * least[1] / seconds for size, seconds in least.items()}
    best = max(gains, key=lambda size: gains[size])
    if gains[best] < LEAST_GAIN:
        tried = max(gains)
        reason = (
            f"up to {tried} rows at once, it gets at most {gains[best]:.2f} times as much done; {LEAST_GAIN} is needed"
        )
        return BatchSize(1, reason, round(gains[best], 2))
    size = min(size for size in gains if gains[size] >= max(LEAST_GAIN, CLOSE * gains[best]))
    reason = (
        f"{size} rows at once take {least[size] * 1e3:.3g} ms, one takes {least[1] * 1e3:.3g} ms; a thread that is "
        "free takes what waits"
    )
    return BatchSize(size, reason, round(gains[size], 2))


def _repeated(rows: Feeds, size: int) -> dict[str, np.ndarray]:
    return {name: np.take(values, range(size), axis=0, mode="wrap") for name, values in rows.items()}


def _independent(run: Callable[[Feeds], np.ndarray], pair: Feeds) -> bool:
    """Whether two rows come out together as each does alone; not so where the batch dimension is fixed."""
    try:
        together = run(pair)
        alone = np.concatenate([run({name: values[[row]] for name, values in pair.items()}) for row in (0, 1)])
    except Exception:  # ONNX Runtime raises classes of its own, without a common base
        return False
    return together.shape == alone.shape and np.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE)


def _times(
    run: Callable[[Feeds], object], feeds: Mapping[int, Feeds], deadline: float, clock: Clock
) -> dict[int, float]:
    """Seconds of a run by size: for one row, and for as many more as are in time with MOST_SECONDS for all rounds."""
    least: dict[int, float] = {}
    end = clock() + MOST_SECONDS
    for size in SIZES:
        run(feeds[size])  # the first run of a shape makes its memory
        seconds = _time(run, feeds[size], clock)
        if size > 1 and seconds > DEADLINE_SHARE * deadline:
            break
        least[size] = seconds
        if clock() + _ROUNDS * 3 * sum(least.values()) > end:  # the next size would come to twice this one
            break
    while clock() + sum(least.values()) < end:
        for size in least:
            least[size] = min(least[size], _time(run, feeds[size], clock))
    return least


def _time(run: Callable[[Feeds], object], feeds: Feeds, clock: Clock) -> float:
    began = clock()
    run(feeds)
    return clock() - began
