"""A check: what was asked of the deployment, how it came out, and why, with what to do where it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from slipway.errors import ServiceError

State = Literal["ok", "failed", "not asked"]
Step = tuple[str, Callable[[], str]]
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """`subject` is a use case, or `server`."""

    subject: str
    name: str
    state: State
    detail: str


def checked(subject: str, name: str, look: Callable[[], str]) -> Check:
    """`look()` says what it saw, or raises ServiceError with what is wrong."""
    try:
        return Check(subject, name, "ok", look())
    except ServiceError as error:
        return Check(subject, name, "failed", str(error))


def in_turn(subject: str, steps: Iterable[Step], needed: int) -> Iterator[Check]:
    """The steps one after the other; where one of the first `needed` fails, those after it are not asked."""
    broken = ""
    for number, (name, look) in enumerate(steps):
        if broken:
            yield Check(subject, name, "not asked", f"because of what failed at {broken}.")
            continue
        check = checked(subject, name, look)
        if check.state == "failed" and number < needed:
            broken = name
        yield check


def until(deadline: float, look: Callable[[], str]) -> str:
    """What `look` says, as soon as it holds; after the deadline what it raises."""
    while True:
        try:
            return look()
        except ServiceError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
