"""Admission control: the limit of what a worker accepts, so that what it accepts is answered in time.

A ticket is one request's, from when it is accepted for the worker pool until its thread is done, or until its client is
gone and no thread has begun. What the event loop answers by itself needs none.
"""

from __future__ import annotations

import asyncio
import threading
import time

from bentos.errors import Unavailable
from bentos.executor.worker_pool import THREADS, QueuedWork, Work, WorkerPool
from bentos.telemetry.metrics import Metrics
from slipway.settings import Settings

PATIENCE = 0.5  # of its deadline is what a request may be expected to take; the rest is for what was not expected
PERIOD = 0.02  # seconds between two measurements of the event loop's lag
_WEIGHT = 0.1  # of the newest request, in the mean time of a use case's requests
_LEAP = 10  # times the mean is what a request counts at most: one that met a stall does not predict the next
_DECAY = 0.5  # of a high lag is still expected in the next period
_REASONS = {
    "full": "as many requests as may wait are waiting",
    "bytes": "as many bytes as may wait are waiting",
    "deadline": "it would not be answered within its deadline",
    "hung": "every thread is with a request that is past its deadline",
}


class AdmissionController:
    """Counts the requests and bytes that are accepted, and refuses more than can be answered in time.

    The event loop and the pool's threads share the counts: `admitted` requests, `bytes` of bodies. `lag` is the time
    that a request waits for the event loop before it is accepted, and its response after.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.admitted = self.bytes = 0
        self.lag = EventLoopLag()
        self.pool: WorkerPool[Ticket] = WorkerPool(self._finished)
        self._max_waiting = settings.max_waiting
        self._max_bytes = max(settings.max_waiting_bytes, settings.body_limit(images=True))
        self._metrics = metrics
        self._lock = threading.Lock()
        self._expected = 0.0  # seconds of work in what is accepted
        self._means: dict[str, float] = {}

    def admit(self, usecase: str, size: int, deadline: float) -> Ticket:
        """Return a ticket for a body of `size` bytes that is to be answered within `deadline` seconds.

        Raises:
            Unavailable: it would not be answered in time.
        """
        with self._lock:
            seconds = self._means.get(usecase, 0.0)
            reason = self._reason(size, seconds, deadline)
            if reason is None:
                self.admitted += 1
                self.bytes += size
                self._expected += seconds
        if reason is not None:
            raise self.shed(usecase, reason)
        self._metrics.of(self._metrics.in_flight, usecase).inc()
        return Ticket(self, usecase, size, seconds)

    def refusal_reason(self, usecase: str, size: int, deadline: float) -> str | None:
        """Return why `admit` would refuse the request now, for `shed`; None where it would accept it."""
        with self._lock:
            return self._reason(size, self._means.get(usecase, 0.0), deadline)

    def shed(self, usecase: str, reason: str) -> Unavailable:
        """Count a refused request, and return its error."""
        self._metrics.of(self._metrics.shed, usecase, reason).inc()
        return Unavailable(f"there is too much to do here: {_REASONS[reason]}.")

    def thread_seconds(self, deadline: float) -> float:
        """Return the seconds of a deadline that are left for a thread; at least half, however busy the event loop."""
        return max(deadline - 2 * self.lag.seconds, deadline / 2)

    def reserve(self, usecase: str, size: int) -> None:
        """Reserve memory for a part of a body that is being received. Raises Unavailable where there is none left."""
        with self._lock:
            if self.bytes + size <= self._max_bytes:
                self.bytes += size
                return
        raise self.shed(usecase, "bytes")

    def release(self, size: int) -> None:
        """Release memory that `reserve` reserved."""
        with self._lock:
            self.bytes -= size

    def close(self) -> None:
        """Wait for the requests that are accepted."""
        self.pool.close()

    def abandon(self, ticket: Ticket, *, late: bool) -> None:
        """Give a ticket back before its response: the client is gone, or the request is `late`."""
        if self.pool.cancel(ticket, late=late):
            with self._lock:
                self._free([ticket])
            self._metrics.of(self._metrics.in_flight, ticket.usecase).dec()

    def _reason(self, size: int, seconds: float, deadline: float) -> str | None:
        """Where a thread is free, time is no reason: an outdated mean would never be corrected."""
        threads = self.pool.healthy_threads
        if threads <= 0:
            return "hung"
        if self.admitted >= self._max_waiting:
            return "full"
        if self.bytes + size > self._max_bytes:
            return "bytes"
        wait = 2 * self.lag.seconds + self._expected / threads + seconds
        return "deadline" if self.admitted >= THREADS and wait > PATIENCE * deadline else None

    def _finished(self, tickets: list[Ticket], seconds: float) -> None:
        with self._lock:
            self._free(tickets)
            for ticket in tickets:
                self._learn(ticket.usecase, seconds / len(tickets))
        self._metrics.of(self._metrics.in_flight, tickets[0].usecase).dec(len(tickets))

    def _learn(self, usecase: str, seconds: float) -> None:
        mean = self._means.get(usecase, 0.0)
        counted = min(seconds, _LEAP * mean) if mean else seconds
        self._means[usecase] = mean + _WEIGHT * (counted - mean)

    def _free(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self.admitted -= 1
            self.bytes -= ticket.size
            self._expected = self._expected - ticket.expected if self.admitted else 0.0


class Ticket(QueuedWork):
    """The permission of one request to use the worker pool. `submit` is called once."""

    def __init__(self, controller: AdmissionController, usecase: str, size: int, expected: float) -> None:
        self.usecase = usecase
        self.size = size
        self.expected = expected
        self._controller = controller

    def submit(self, work: Work) -> None:
        """Queue the work of the request."""
        self.work = work
        self._controller.pool.submit(self)

    def abandon(self, *, late: bool) -> None:
        """Give the ticket back: work that has not begun never will."""
        self._controller.abandon(self, late=late)


class BodyBudget:
    """The memory for bodies of one use case that are being received, as part of what the controller limits."""

    def __init__(self, controller: AdmissionController, usecase: str) -> None:
        self._controller = controller
        self._usecase = usecase

    def reserve(self, size: int) -> None:
        self._controller.reserve(self._usecase, size)

    def release(self, size: int) -> None:
        self._controller.release(size)


class EventLoopLag:
    """The delay of the event loop: `seconds` is the worst of late."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        """Measure the lag until cancelled."""
        while True:
            started = time.perf_counter()
            await asyncio.sleep(PERIOD)
            self.update(time.perf_counter() - started - PERIOD)

    def update(self, seconds: float) -> None:
        """Take a measurement into account."""
        self.seconds = max(seconds, _DECAY * self.seconds)
