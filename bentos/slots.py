"""Slots: what a worker takes on at most, so that what it has taken on is answered in time.

A slot is one request's, from when it is accepted for a thread until the thread is done with it, or until nobody waits
for it any more and no thread has begun. What the event loop answers by itself needs none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from bentos.errors import Unavailable
from bentos.metrics import Metrics
from slipway.settings import Settings

THREADS = 2  # for what would hold up the event loop; ONNX Runtime and Pillow leave the interpreter free meanwhile
PATIENCE = 0.5  # of its deadline is what a request may be expected to take; the rest is for what was not expected
_WEIGHT = 0.1  # of the newest request, in the mean time of a use case's requests
_REASONS = {
    "full": "as many requests as may wait are waiting",
    "bytes": "as many bytes as may wait are waiting",
    "deadline": "it would not be answered within its deadline",
    "hung": "every thread is with a request that is past its deadline",
}


class Slots:
    """Counts for the event loop and the threads, which also take what they count: `taken` requests, `bytes` of them."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.taken = self.bytes = 0
        self._most = settings.max_waiting
        self._most_bytes = max(settings.max_waiting_bytes, settings.max_body_bytes)
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="predict")
        self._lock = threading.Lock()
        self._expected = 0.0  # seconds of work in what is taken
        self._hung = 0
        self._means: dict[str, float] = {}

    def take(self, usecase: str, size: int, deadline: float) -> Slot:
        """A slot for `size` bytes that are to be answered in `deadline` seconds.

        Raises:
            Unavailable: at once, where it would not be.
        """
        with self._lock:
            seconds = self._means.get(usecase, 0.0)
            reason = self._refusal(size, seconds, deadline)
            if reason is None:
                self.taken += 1
                self.bytes += size
                self._expected += seconds
        if reason is not None:
            raise self._shed(usecase, reason)
        self._metrics.of(self._metrics.in_flight, usecase).inc()
        return Slot(self, usecase, size, seconds)

    def receive(self, usecase: str, size: int) -> None:
        """So many bytes of a body have come and are kept until it is whole. Raises Unavailable: they cannot be."""
        with self._lock:
            if self.bytes + size <= self._most_bytes:
                self.bytes += size
                return
        raise self._shed(usecase, "bytes")

    def received(self, size: int) -> None:
        with self._lock:
            self.bytes -= size

    def close(self) -> None:
        """Wait for what is taken."""
        self._threads.shutdown()

    def _refusal(self, size: int, seconds: float, deadline: float) -> str | None:
        """Where a thread is free, time is no reason: a mean that is out of date would never be put right."""
        free = THREADS - self._hung
        if free <= 0:
            return "hung"
        if self.taken >= self._most:
            return "full"
        if self.bytes + size > self._most_bytes:
            return "bytes"
        if self.taken >= THREADS and self._expected / free + seconds > PATIENCE * deadline:
            return "deadline"
        return None

    def _shed(self, usecase: str, reason: str) -> Unavailable:
        self._metrics.of(self._metrics.shed, usecase, reason).inc()
        return Unavailable(f"there is too much to do here: {_REASONS[reason]}.")

    def _leave(self, slot: Slot, seconds: float | None) -> None:
        with self._lock:
            self.taken -= 1
            self.bytes -= slot.size
            self._expected = self._expected - slot.expected if self.taken else 0.0
            self._hung -= slot.hung
            slot.left = True
            if seconds is not None:
                mean = self._means.get(slot.usecase, seconds)
                self._means[slot.usecase] = mean + _WEIGHT * (seconds - mean)
        self._metrics.of(self._metrics.in_flight, slot.usecase).dec()

    def _hang(self, slot: Slot) -> None:
        with self._lock:
            if not slot.left:
                slot.hung = True
                self._hung += 1


class Slot:
    """One request's. `start` is called once, by who took it."""

    def __init__(self, slots: Slots, usecase: str, size: int, expected: float) -> None:
        self.usecase = usecase
        self.size = size
        self.expected = expected
        self.hung = self.left = False
        self._slots = slots
        self._work: Callable[[], None] | None = None
        self._future: Future[None]

    def start(self, work: Callable[[], None]) -> None:
        self._work = work
        self._future = self._slots._threads.submit(self._run)

    def give_up(self, *, late: bool) -> None:
        """Nobody waits any more: what has not begun never will. A thread that is `late` is hung until it is done."""
        if self._future.cancel():
            self._work = None  # the thread's queue still has this slot, and must not keep the body
            self._slots._leave(self, None)
        elif late:
            self._slots._hang(self)

    def _run(self) -> None:
        work, self._work = self._work, None
        assert work is not None
        began = time.perf_counter()
        try:
            work()
        finally:
            self._slots._leave(self, time.perf_counter() - began)
