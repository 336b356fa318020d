"""Deadline job: a prediction on another thread. Exactly one of result and timeout wins; only the winner is logged."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from bentos.errors import Late
from bentos.executor.batching import run_batch
from bentos.models import LoadedModel
from bentos.prediction.types import Outcome, PredictionCall
from bentos.request import ClientGone


class DeadlineJob:
    """A prediction that is made on the event loop, run on a thread, and awaited with a deadline.

    Model and timer both claim the outcome before they act, and one of them gets it: either the response is written to
    the log and sent (`answered`), or it is neither (`late`). After the deadline the model cannot claim it, also where
    the event loop is too busy for the timer to have fired.
    """

    def __init__(self, call: PredictionCall, seconds: float) -> None:
        self.call = msgspec.structs.replace(call, claim=self._claim, awaited=self.is_awaited)
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._claimed = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[bytes] = self._loop.create_future()
        self.answered = self.late = False
        self._cancelled = False
        self.size = len(call.body)

    @property
    def model(self) -> LoadedModel:
        return self.call.live

    @property
    def caller(self) -> str | None:
        return self.call.request.caller

    def is_awaited(self) -> bool:
        """Whether a client still waits: a job that is late or cancelled before it begins is not run."""
        return not (self.late or self._cancelled or self._expired)

    @property
    def _expired(self) -> bool:
        return time.monotonic() > self._until

    def run(self, claim_next: Callable[[], DeadlineJob | None] = lambda: None) -> None:
        """Run the prediction, in the thread, with others as far as the model is faster with several."""
        run_batch(self, claim_next)

    def complete(self, outcome: Outcome) -> None:
        """Hand the outcome over from the thread to the event loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, outcome)

    async def outcome(self) -> bytes:
        """Wait for the response. Raises Late where the timer was first."""
        timer = self._loop.call_later(self._seconds, self._expire)
        try:
            return await self._outcome
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """Stop waiting because the client has gone: `outcome` raises ClientGone."""
        self._cancelled = True
        self._resolve(ClientGone())

    def _claim(self) -> bool:
        self.answered = not self._expired and self._claimed.acquire(blocking=False)
        return self.answered

    def _expire(self) -> None:
        self.late = self._claimed.acquire(blocking=False)
        if self.late:
            self._resolve(Late(self.call.live))

    def _resolve(self, outcome: Outcome) -> None:
        if self._outcome.done():
            return
        if isinstance(outcome, Exception):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)
