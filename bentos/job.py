"""A request's work on another thread, and whose word counts: the thread's when it is done, or the clock's before."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import msgspec

from bentos.answer import answer_one
from bentos.call import Call
from bentos.errors import Late, Unavailable
from bentos.request import ClientGone, Receive


class Job:
    """Made on the event loop, run on a thread, awaited with a deadline.

    Model and clock both ask for the turn before they speak, and one of them gets it: either the model's answer is
    written to the log and sent (`answered`), or it is neither (`late`).
    """

    def __init__(self, call: Call) -> None:
        self._call = msgspec.structs.replace(call, take_turn=self._answer)
        self._turn = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[bytes] = self._loop.create_future()
        self.answered = self.late = False
        self.size = len(call.body)

    def run(self) -> None:
        """In the thread. What is late before it begins is not begun."""
        if self.late:
            return
        content, error = b"", None
        try:
            content = answer_one(self._call)
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, content, error)

    async def within(self, seconds: float) -> bytes:
        """The thread's outcome. Raises Late where the clock was first."""
        timer = self._loop.call_later(seconds, self._expire)
        try:
            return await self._outcome
        finally:
            timer.cancel()

    def forsake(self) -> None:
        """The client has gone: whoever waits for the outcome gets ClientGone."""
        self._tell(b"", ClientGone())

    def _answer(self) -> bool:
        self.answered = self._turn.acquire(blocking=False)
        return self.answered

    def _expire(self) -> None:
        self.late = self._turn.acquire(blocking=False)
        if self.late:
            self._tell(b"", Late(self._call.live))

    def _tell(self, content: bytes, error: Exception | None) -> None:
        if self._outcome.done():
            return
        if error is not None:
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(content)


async def answer_in_thread(receive: Receive, call: Call) -> bytes:
    """The champion's answer, made where it does not hold up the event loop.

    Raises:
        Unavailable: there is no slot for it, or it was late; nothing is in the log as answered.
        ClientGone: nobody waits for it any more.
    """
    deadline = call.live.deadline
    slot = call.served.slots.take(call.served.name, len(call.body), deadline)
    job = Job(call)
    slot.start(job.run)
    watch = asyncio.create_task(_watch(receive, job))
    try:
        return await job.within(deadline)
    except Late as error:
        slot.give_up(late=True)
        raise Unavailable(f"{error}.") from None
    except ClientGone:
        slot.give_up(late=False)
        raise
    finally:
        watch.cancel()


async def _watch(receive: Receive, job: Job) -> None:
    """After the body, an ASGI server has one thing more to say."""
    if (await receive())["type"] == "http.disconnect":
        job.forsake()
