"""Candidate runner: a canary or shadow model on a thread of its own, behind a bounded queue."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from bentos.models.loaded_model import LoadedModel

MAX_JOBS = 64
MAX_BYTES = 32 << 20
MAX_THROTTLE_SECONDS = 1.0
MIN_SLEEP_SECONDS = 0.001


class Work(Protocol):
    """A prediction to run: `run` raises nothing, `late` turns true at its deadline, `size` is the body's, in bytes.

    `caller` is who waits for it; None if that is not known, or nobody does.
    """

    size: int
    caller: str | None

    @property
    def late(self) -> bool: ...

    def run(self) -> None: ...


class _Held(NamedTuple):
    """Jobs of a caller, and the size of their bodies in bytes."""

    jobs: int
    size: int


class CandidateRunner:
    """Runs predictions of the model `live` in the order of their submission, on one thread.

    A known caller has half of the queue at most, so that none of them makes the model busy for all others.

    After each, the thread sleeps until the process has been idle for `throttle` times the run's duration, one second at
    most. With 39, short jobs take at most a fortieth of what the champion's requests leave of a core: on a busy core
    requests queue, and each millisecond that a candidate takes delays many.
    """

    def __init__(self, live: LoadedModel, name: str, throttle: float = 0.0) -> None:
        self.live = live
        self._throttle = throttle
        self.closed = False
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._bytes_queued = self._bytes_done = 0  # totals; each is written by one thread, so neither needs a lock
        self._running: Work | None = None
        self._held: dict[str, _Held] = {}  # by caller, what is queued or running
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def takes(self, size: int) -> bool:
        """Whether a job of `size` bytes has room: the queue is not full, and the running job is not late.

        A late job may never end. A body over the limit is accepted when no other job waits.
        """
        running, waiting = self._running, self._bytes_queued - self._bytes_done
        if self.closed or self._queue.qsize() >= MAX_JOBS or (running is not None and running.late):
            return False
        return not waiting or waiting + size <= MAX_BYTES

    def submit(self, work: Work) -> bool:
        """Queue the job, or return False where there is no room. Never blocks; for the event loop's thread only."""
        if not self.takes(work.size) or not self._has_share(work):
            return False
        self._hold(work, 1)
        self._bytes_queued += work.size
        self._queue.put(work)
        return True

    def close(self) -> None:
        """Accept no more jobs; the thread ends after those that are queued."""
        self.closed = True
        self._queue.put(None)

    def drain(self, seconds: float) -> int:
        """Wait for a closed runner to end, then drop what is queued, and return the number of dropped jobs."""
        self._thread.join(seconds)
        dropped = 0
        try:
            while self._queue.get_nowait() is not None:
                dropped += 1
        except Empty:
            pass
        else:
            self._queue.put(None)
        return dropped

    def _has_share(self, work: Work) -> bool:
        """Whether the job's caller holds less than half of the queue. A first body has any size."""
        held = self._held.get(work.caller) if work.caller is not None else None
        return held is None or (held.jobs < MAX_JOBS // 2 and held.size + work.size <= MAX_BYTES // 2)

    def _hold(self, work: Work, jobs: int) -> None:
        """Count a job of a caller that is queued (1) or done (-1); who holds nothing is forgotten."""
        if work.caller is None:
            return
        with self._lock:
            held = self._held.get(work.caller, _Held(0, 0))
            held = _Held(held.jobs + jobs, held.size + jobs * work.size)
            if held.jobs:
                self._held[work.caller] = held
            else:
                self._held.pop(work.caller, None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            self._running = work
            started = time.perf_counter()
            work.run()
            self._running = None
            self._bytes_done += work.size
            self._hold(work, -1)
            self._throttle_after(time.perf_counter() - started)

    def _throttle_after(self, seconds: float) -> None:
        idle_left, began, worked = self._throttle * seconds, time.perf_counter(), time.process_time()
        end = began + MAX_THROTTLE_SECONDS
        while idle_left > 0 and not self.closed and (left := end - time.perf_counter()) > 0:
            time.sleep(min(max(idle_left, MIN_SLEEP_SECONDS), left))
            now, cpu = time.perf_counter(), time.process_time()
            idle_left -= max(0.0, (now - began) - (cpu - worked))
            began, worked = now, cpu
