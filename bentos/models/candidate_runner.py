"""Side: a model that runs beside the champion, on a thread of its own, behind a queue that is never long."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import Protocol

from bentos.models.loaded_model import LoadedModel

MOST_JOBS = 64
MOST_BYTES = 32 << 20
MOST_REST_SECONDS = 1.0
LEAST_SLEEP_SECONDS = 0.001


class Work(Protocol):
    """`run` raises nothing; `late` becomes true when its time is up, also while it runs; `size` is in bytes."""

    size: int

    @property
    def late(self) -> bool: ...

    def run(self) -> None: ...


class CandidateRunner:
    """`live` is the model; what is submitted runs in its order, on the one thread.

    After each it rests until the process has idled `rest` times as long as that took, a second at most: with 39, short
    jobs take no more than a fortieth of what those who answer leave of a core. A busy core has a queue, and whatever
    takes a millisecond of it there holds up many.
    """

    def __init__(self, live: LoadedModel, name: str, rest: float = 0.0) -> None:
        self.live = live
        self._rest = rest
        self.closed = False
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._put = self._taken = 0  # bytes; each has one thread that writes it, so neither needs a lock
        self._running: Work | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def takes(self, size: int) -> bool:
        """Whether work of so many bytes has room: the queue is not full, and what runs is not past its time, and may
        never end. A large body is let in when there is no other."""
        running, waiting = self._running, self._put - self._taken
        if self.closed or self._queue.qsize() >= MOST_JOBS or (running is not None and running.late):
            return False
        return not waiting or waiting + size <= MOST_BYTES

    def submit(self, work: Work) -> bool:
        """For the event loop alone. False, at once, where there is no room."""
        if not self.takes(work.size):
            return False
        self._put += work.size
        self._queue.put(work)
        return True

    def close(self) -> None:
        """Take nothing more; the thread ends when it has done what it has."""
        self.closed = True
        self._queue.put(None)

    def drain(self, seconds: float) -> int:
        """Wait for a closed one to end; how many jobs were left undone, and never will be done."""
        self._thread.join(seconds)
        left = 0
        try:
            while self._queue.get_nowait() is not None:
                left += 1
        except Empty:
            pass
        else:
            self._queue.put(None)
        return left

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            self._running = work
            started = time.perf_counter()
            work.run()
            self._running = None
            self._taken += work.size
            self._rest_after(time.perf_counter() - started)

    def _rest_after(self, seconds: float) -> None:
        wanted, began, worked = self._rest * seconds, time.perf_counter(), time.process_time()
        end = began + MOST_REST_SECONDS
        while wanted > 0 and not self.closed and (left := end - time.perf_counter()) > 0:
            time.sleep(min(max(wanted, LEAST_SLEEP_SECONDS), left))
            now, cpu = time.perf_counter(), time.process_time()
            wanted -= max(0.0, (now - began) - (cpu - worked))
            began, worked = now, cpu
