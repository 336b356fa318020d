"""Batch size: how many rows a model's network runs at once, measured when the model is loaded.

Where one run for several rows is not clearly faster than several runs, there are no batches. Requests never wait for a
batch to fill (see bentos.executor.batching), so only the network is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

SIZES = (1, 2, 4, 8, 16, 32)
MIN_GAIN = 1.2
NEAR_BEST = 0.95  # a smaller size with this share of the best gain is preferred: its responses come sooner
DEADLINE_SHARE = 0.1  # of the model's deadline that one batch may take
TOLERANCE = 1e-5
MAX_SECONDS = 0.4
MAX_SINGLE_SHARE = 0.05  # of MAX_SECONDS that one row may take for sizes to be tried
_MIN_ROUNDS = 3  # for each size that is tried
Feeds = Mapping[str, np.ndarray]
Run = Callable[[Feeds], np.ndarray]
Clock = Callable[[], float]


class BatchSize(msgspec.Struct, frozen=True):
    """The largest number of rows for one run, and the reason; 1 means that every request runs on its own.

    `gain` is how many times the throughput of single rows batches of this size reach, or the best size where none is
    used.
    """

    size: int
    reason: str
    gain: float | None = None
    wait_ms: int = 0


UNMEASURED = BatchSize(1, "not measured")


def measure_batch_size(run: Run, rows: Feeds, deadline: float, clock: Clock = time.perf_counter) -> BatchSize:
    """Choose the size by the shortest of interleaved runs of each; `rows` are repeated to fill the batches.

    Takes about MAX_SECONDS at most. `deadline` is the model's, in seconds.
    """
    feeds = {size: _repeated(rows, size) for size in SIZES}
    single = min(_run_seconds(run, feeds[1], clock) for _ in range(2))
    if single > MAX_SECONDS * MAX_SINGLE_SHARE:
        return BatchSize(1, f"one row takes {single * 1e3:.3g} ms, which is too long to try several")
    if not _rows_are_independent(run, feeds[2]):
        return BatchSize(1, "the network's outputs for several rows differ from those for each row alone")
    return _choose(_shortest_runs(run, feeds, deadline, clock))


def _choose(shortest: Mapping[int, float]) -> BatchSize:
    """The smallest size with nearly the best throughput; `shortest` are seconds of a run by size."""
    gains = {size: size * shortest[1] / seconds for size, seconds in shortest.items()}
    best = max(gains.values())
    if best < MIN_GAIN:
        reason = f"up to {max(gains)} rows at once raise throughput {best:.2f} times at most; {MIN_GAIN} is needed"
        return BatchSize(1, reason, round(best, 2))
    size = min(size for size in gains if gains[size] >= max(MIN_GAIN, NEAR_BEST * best))
    reason = (
        f"{size} rows at once take {shortest[size] * 1e3:.3g} ms, one takes {shortest[1] * 1e3:.3g} ms; a free thread "
        "takes all waiting rows"
    )
    return BatchSize(size, reason, round(gains[size], 2))


def _repeated(rows: Feeds, size: int) -> dict[str, np.ndarray]:
    return {name: np.take(values, range(size), axis=0, mode="wrap") for name, values in rows.items()}


def _rows_are_independent(run: Run, pair: Feeds) -> bool:
    """Whether two rows give the same outputs together as alone; not so where the batch dimension is fixed."""
    try:
        together = run(pair)
        alone = np.concatenate([run({name: values[[row]] for name, values in pair.items()}) for row in (0, 1)])
    except Exception:  # ONNX Runtime raises classes of its own, without a common base
        return False
    return together.shape == alone.shape and np.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE)


def _shortest_runs(run: Run, feeds: Mapping[int, Feeds], deadline: float, clock: Clock) -> dict[int, float]:
    """Seconds of the shortest run by size: of one row, and of each larger size that MAX_SECONDS leaves time for."""
    shortest: dict[int, float] = {}
    end = clock() + MAX_SECONDS
    for size in SIZES:
        run(feeds[size])  # the first run of a shape allocates its memory
        seconds = _run_seconds(run, feeds[size], clock)
        if size > 1 and seconds > DEADLINE_SHARE * deadline:
            break
        shortest[size] = seconds
        if clock() + _MIN_ROUNDS * 3 * sum(shortest.values()) > end:  # the next size takes up to twice this one's time
            break
    while clock() + sum(shortest.values()) < end:
        for size in shortest:
            shortest[size] = min(shortest[size], _run_seconds(run, feeds[size], clock))
    return shortest


def _run_seconds(run: Run, feeds: Feeds, clock: Clock) -> float:
    started = clock()
    run(feeds)
    return clock() - started
