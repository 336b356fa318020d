"""Results that all who ask share: one computation at a time, none too old, and no more than are kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slipway.system.shared_results import SharedResults, TooManyResults


class Computation:
    """A computation that counts its calls, and waits until it may end."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.most_at_once = self._now = 0
        self.may_end = threading.Event()

    def __call__(self, *key: object, **_: object) -> object:
        self.calls.append(key)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        assert self.may_end.wait(10)
        self._now -= 1
        return None

    @contextmanager
    def ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.may_end.set()


def test_what_is_too_old_is_computed_again() -> None:
    calls: list[str] = []
    shared = SharedResults(calls.append, 0.05)

    async def ask() -> None:
        await asyncio.gather(shared.get("a"), shared.get("a"), shared.get("b"))
        assert sorted(calls) == ["a", "b"]
        await asyncio.sleep(0.06)
        await shared.get("a")

    asyncio.run(ask())
    assert sorted(calls) == ["a", "a", "b"]


def test_different_results_are_computed_one_after_the_other_and_no_more_than_are_kept() -> None:
    work = Computation()
    shared = SharedResults(work, 60, most=3)

    async def ask() -> None:
        with work.ended():
            waiting = [asyncio.create_task(shared.get(key)) for key in "abc"]
            await asyncio.sleep(0.05)
            with pytest.raises(TooManyResults):
                await shared.get("d")
        await asyncio.gather(*waiting)
        await shared.get("d")
        assert len(shared._entries) == 3

    asyncio.run(ask())
    assert work.most_at_once == 1
    assert len(work.calls) == 4


def test_an_error_is_shared_and_tried_again_when_it_is_old() -> None:
    def fail(key: str) -> None:
        calls.append(key)
        raise OSError("the log is away")

    calls: list[str] = []
    shared = SharedResults(fail, 60)
    asyncio.run(_fails(shared))
    assert calls == ["a"]


async def _fails(shared: SharedResults[str, None]) -> None:
    for found in await asyncio.gather(*(shared.get("a") for _ in range(5)), return_exceptions=True):
        assert isinstance(found, OSError)


def test_a_viewer_that_leaves_ends_no_other_ones_view() -> None:
    work = Computation()
    shared = SharedResults(work, 60)

    async def ask() -> None:
        with work.ended():
            leaving, staying = (asyncio.create_task(shared.get("a")) for _ in range(2))
            await asyncio.sleep(0.01)
            leaving.cancel()
            await asyncio.sleep(0.01)
        await staying

    asyncio.run(ask())
    assert len(work.calls) == 1
