"""Slots: what a worker takes on at most, so that what it has taken on is answered in time.

A slot is one request's, from when it is accepted for a thread until the thread is done with it, or until nobody waits
for it any more and no thread has begun. What the event loop answers by itself needs none.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bentos.errors import Unavailable
from bentos.telemetry.metrics import Metrics
from slipway.settings import Settings

THREADS = 2  # for what would hold up the event loop; ONNX Runtime and Pillow leave the interpreter free meanwhile
PATIENCE = 0.5  # of its deadline is what a request may be expected to take; the rest is for what was not expected
_WEIGHT = 0.1  # of the newest request, in the mean time of a use case's requests
_LEAP = 10  # times the mean is what a request counts at most: one that met a stall says nothing of the next
_REASONS = {
    "full": "as many requests as may wait are waiting",
    "bytes": "as many bytes as may wait are waiting",
    "deadline": "it would not be answered within its deadline",
    "hung": "every thread is with a request that is past its deadline",
}
_log = logging.getLogger("slipway.serving")


class Work(Protocol):
    """What waits for a thread. `run` is given the means to get, one by one, what else waits for the same model."""

    @property
    def model(self) -> object: ...

    def run(self, another: Callable[[], Work | None]) -> None: ...


class AdmissionController:
    """Counts for the event loop and the threads, which also take what they count: `taken` requests, `bytes` of them.

    `lag` is what a request waits for the event loop before it is taken, and its answer after.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.taken = self.bytes = 0
        self.lag = EventLoopLag()
        self._most = settings.max_waiting
        self._most_bytes = max(settings.max_waiting_bytes, settings.max_body_bytes)
        self._metrics = metrics
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._waiting: deque[Ticket] = deque()
        self._hands: list[Hand] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._expected = 0.0  # seconds of work in what is taken
        self._means: dict[str, float] = {}

    def take(self, usecase: str, size: int, deadline: float) -> Ticket:
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
            raise self.shed(usecase, reason)
        self._metrics.of(self._metrics.in_flight, usecase).inc()
        return Ticket(self, usecase, size, seconds)

    def refusal(self, usecase: str, size: int, deadline: float) -> str | None:
        """Why `take` would refuse it at this moment, as `shed` takes it; None where there is a slot."""
        with self._lock:
            return self._refusal(size, self._means.get(usecase, 0.0), deadline)

    def shed(self, usecase: str, reason: str) -> Unavailable:
        """The refusal, counted."""
        self._metrics.of(self._metrics.shed, usecase, reason).inc()
        return Unavailable(f"there is too much to do here: {_REASONS[reason]}.")

    def within(self, deadline: float) -> float:
        """Of these seconds, what is left for a thread; half of them however busy the event loop is."""
        return max(deadline - 2 * self.lag.seconds, deadline / 2)

    def receive(self, usecase: str, size: int) -> None:
        """So many bytes of a body have come and are kept until it is whole. Raises Unavailable: they cannot be."""
        with self._lock:
            if self.bytes + size <= self._most_bytes:
                self.bytes += size
                return
        raise self.shed(usecase, "bytes")

    def received(self, size: int) -> None:
        with self._lock:
            self.bytes -= size

    def close(self) -> None:
        """Wait for what is taken."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _refusal(self, size: int, seconds: float, deadline: float) -> str | None:
        """Where a thread is free, time is no reason: a mean that is out of date would never be put right."""
        free = THREADS - sum(hand.hung for hand in self._hands)
        if free <= 0:
            return "hung"
        if self.taken >= self._most:
            return "full"
        if self.bytes + size > self._most_bytes:
            return "bytes"
        if self.taken >= THREADS and 2 * self.lag.seconds + self._expected / free + seconds > PATIENCE * deadline:
            return "deadline"
        return None

    def _put(self, slot: Ticket) -> None:
        with self._lock:
            self._waiting.append(slot)
            self._wake.notify()
            if len(self._threads) < THREADS:  # not before the first request: a process may be forked until then
                self._threads.append(threading.Thread(target=self._serve, name="predict", daemon=True))
                self._threads[-1].start()

    def _give_up(self, slot: Ticket, late: bool) -> None:
        with self._lock:
            begun = slot.hand is not None
            if not begun:
                self._waiting.remove(slot)
                self._free([slot])
            elif late and slot.hand in self._hands:
                slot.hand.hung = True
        if not begun:
            self._metrics.of(self._metrics.in_flight, slot.usecase).dec()

    def _serve(self) -> None:
        """A thread's life."""
        while (hand := self._begin()) is not None:
            began = time.perf_counter()
            try:
                hand.run()
            except Exception:
                _log.exception("a thread's work failed")
            self._end(hand, time.perf_counter() - began)

    def _begin(self) -> Hand | None:
        """The oldest that waits, as soon as there is one; None when there will be none."""
        with self._lock:
            while not self._waiting and not self._closed:
                self._wake.wait()
            if not self._waiting:
                return None
            hand = Hand(self)
            hand.take(self._waiting.popleft())
            self._hands.append(hand)
            return hand

    def _another(self, hand: Hand, model: object) -> Work | None:
        with self._lock:
            for index, slot in enumerate(self._waiting):
                if slot.work.model is model:
                    del self._waiting[index]
                    return hand.take(slot)
        return None

    def _end(self, hand: Hand, seconds: float) -> None:
        with self._lock:
            self._hands.remove(hand)
            self._free(hand.slots)
            for slot in hand.slots:
                self._learn(slot.usecase, seconds / len(hand.slots))
        self._metrics.of(self._metrics.in_flight, hand.slots[0].usecase).dec(len(hand.slots))

    def _learn(self, usecase: str, seconds: float) -> None:
        mean = self._means.get(usecase, 0.0)
        heard = min(seconds, _LEAP * mean) if mean else seconds
        self._means[usecase] = mean + _WEIGHT * (heard - mean)

    def _free(self, slots: list[Ticket]) -> None:
        for slot in slots:
            self.taken -= 1
            self.bytes -= slot.size
            self._expected = self._expected - slot.expected if self.taken else 0.0


class Hand:
    """What one thread has taken: the oldest that waited, and others for the same model. `hung`: one of them is late."""

    def __init__(self, slots: AdmissionController) -> None:
        self.slots: list[Ticket] = []
        self.hung = False
        self._of = slots

    def take(self, slot: Ticket) -> Work:
        slot.hand = self
        self.slots.append(slot)
        return slot.work

    def run(self) -> None:
        work = self.slots[0].work
        work.run(lambda: self._of._another(self, work.model))


class Ticket:
    """One request's. `start` is called once, by who took it."""

    work: Work

    def __init__(self, slots: AdmissionController, usecase: str, size: int, expected: float) -> None:
        self.usecase = usecase
        self.size = size
        self.expected = expected
        self.hand: Hand | None = None
        self._slots = slots

    def start(self, work: Work) -> None:
        self.work = work
        self._slots._put(self)

    def give_up(self, *, late: bool) -> None:
        """Nobody waits any more: what has not begun never will. A thread that is with one that is `late` is hung until
        it is done."""
        self._slots._give_up(self, late)


PERIOD = 0.02  # seconds
_FADES = 0.5  # of a high lag is still expected in the next period


class EventLoopLag:
    """`seconds` is the worst of late."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(PERIOD)
            self.seen(time.perf_counter() - began - PERIOD)

    def seen(self, seconds: float) -> None:
        self.seconds = max(seconds, _FADES * self.seconds)
