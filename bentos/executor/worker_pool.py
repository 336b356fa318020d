"""Worker pool: the threads that run what would hold up the event loop, oldest first.

A thread that becomes free claims the oldest work, and may claim more for the same model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

THREADS = 2  # ONNX Runtime and Pillow release the interpreter lock meanwhile
_log = logging.getLogger("slipway.serving")


class Work(Protocol):
    """Work for a thread. `run` is given a function that claims, one by one, more queued work for the same model."""

    @property
    def model(self) -> object: ...

    def run(self, claim_next: Callable[[], Work | None]) -> None: ...


class QueuedWork:
    """An entry of the queue. `batch` is set when a thread claims it."""

    work: Work
    batch: ClaimedBatch | None = None


Entry = TypeVar("Entry", bound=QueuedWork)


class ClaimedBatch:
    """The entries that one thread has claimed. `hung`: one of them is past its deadline."""

    def __init__(self) -> None:
        self.entries: list[QueuedWork] = []
        self.hung = False

    def claim(self, entry: QueuedWork) -> Work:
        """Add an entry, and return its work."""
        entry.batch = self
        self.entries.append(entry)
        return entry.work


class WorkerPool(Generic[Entry]):
    """A queue and its threads. `finished(entries, seconds)` is called in the thread after each batch."""

    def __init__(self, finished: Callable[[list[Entry], float], None]) -> None:
        self._finished = finished
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[Entry] = deque()
        self._running: list[ClaimedBatch] = []
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def healthy_threads(self) -> int:
        """The number of threads that are not held by work past its deadline."""
        with self._lock:
            return THREADS - sum(batch.hung for batch in self._running)

    def submit(self, entry: Entry) -> None:
        """Queue an entry whose `work` is set."""
        with self._lock:
            self._queue.append(entry)
            self._wake.notify()
            if len(self._threads) < THREADS:  # not before the first request: a process may be forked until then
                self._threads.append(threading.Thread(target=self._run, name="predict", daemon=True))
                self._threads[-1].start()

    def cancel(self, entry: Entry, *, late: bool) -> bool:
        """Remove an entry from the queue. Returns False if a thread has claimed it; if it is `late`, that thread counts
        as hung until it is done."""
        with self._lock:
            if entry.batch is None:
                self._queue.remove(entry)
                return True
            if late and entry.batch in self._running:
                entry.batch.hung = True
            return False

    def close(self) -> None:
        """Run what is queued, and wait for the threads to end."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        """Run a thread until the pool is closed and its queue empty."""
        while (batch := self._claim_oldest()) is not None:
            started = time.perf_counter()
            work = batch.entries[0].work
            try:
                work.run(lambda batch=batch, model=work.model: self._claim_next(batch, model))  # type: ignore[misc]
            except Exception:
                _log.exception("a thread's work failed")
            with self._lock:
                self._running.remove(batch)
            self._finished(batch.entries, time.perf_counter() - started)  # type: ignore[arg-type]

    def _claim_oldest(self) -> ClaimedBatch | None:
        """Wait for work, and claim it; None once the pool is closed and its queue empty."""
        with self._lock:
            while not self._queue and not self._closed:
                self._wake.wait()
            if not self._queue:
                return None
            batch = ClaimedBatch()
            batch.claim(self._queue.popleft())
            self._running.append(batch)
            return batch

    def _claim_next(self, batch: ClaimedBatch, model: object) -> Work | None:
        with self._lock:
            for index, entry in enumerate(self._queue):
                if entry.work.model is model:
                    del self._queue[index]
                    return batch.claim(entry)
        return None
