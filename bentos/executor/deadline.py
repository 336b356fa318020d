"""A request's work on another thread, and whose word counts: the thread's when it is done, or the clock's before."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from bentos.errors import Late, Unavailable
from bentos.executor.batching import answer_together
from bentos.models import LoadedModel
from bentos.prediction.types import PredictionCall
from bentos.request import ClientGone, Receive


class DeadlineJob:
    """Made on the event loop, run on a thread, awaited with a deadline.

    Model and clock both ask for the turn before they speak, and one of them gets it: either the model's answer is
    written to the log and sent (`answered`), or it is neither (`late`). The model gets none after the time, also where
    the event loop is too busy for the clock to have spoken.
    """

    def __init__(self, call: PredictionCall, seconds: float) -> None:
        self.call = msgspec.structs.replace(call, take_turn=self._answer)
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._turn = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[bytes] = self._loop.create_future()
        self.answered = self.late = False
        self._forsaken = False
        self.size = len(call.body)

    @property
    def model(self) -> LoadedModel:
        return self.call.live

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits: what is late, or whose client has gone, before it begins is not begun."""
        return not (self.late or self._forsaken or self._over)

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._until

    def run(self, another: Callable[[], DeadlineJob | None] = lambda: None) -> None:
        """In the thread; with the others that it gets, as far as the model does better with several."""
        answer_together(self, another)

    def _answer(self) -> bool:
        self.answered = not self._over and self._turn.acquire(blocking=False)
        return self.answered

    def done(self, outcome: bytes | Exception) -> None:
        """In the thread: what came of it."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, outcome)

    async def outcome(self) -> bytes:
        """The thread's. Raises Late where the clock was first."""
        timer = self._loop.call_later(self._seconds, self._expire)
        try:
            return await self._outcome
        finally:
            timer.cancel()

    def forsake(self) -> None:
        """The client has gone: whoever waits for the outcome gets ClientGone."""
        self._forsaken = True
        self._tell(ClientGone())

    def _expire(self) -> None:
        self.late = self._turn.acquire(blocking=False)
        if self.late:
            self._tell(Late(self.call.live))

    def _tell(self, outcome: bytes | Exception) -> None:
        if self._outcome.done():
            return
        if isinstance(outcome, Exception):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)


async def answer_in_thread(receive: Receive, call: PredictionCall) -> bytes:
    """The champion's answer, made where it does not hold up the event loop.

    Raises:
        Unavailable: there is no slot for it, or it was late; nothing is in the log as answered.
        ClientGone: nobody waits for it any more.
    """
    slots, deadline = call.served.slots, call.live.deadline
    slot = slots.take(call.served.name, len(call.body), deadline)
    job = DeadlineJob(call, slots.within(deadline))
    slot.start(job)
    watch = asyncio.create_task(_watch(receive, job))
    try:
        return await job.outcome()
    except Late as error:
        slot.give_up(late=True)
        raise Unavailable(f"{error}.") from None
    except ClientGone:
        slot.give_up(late=False)
        raise
    finally:
        watch.cancel()


async def _watch(receive: Receive, job: DeadlineJob) -> None:
    """After the body, an ASGI server has one thing more to say."""
    if (await receive())["type"] == "http.disconnect":
        job.forsake()
