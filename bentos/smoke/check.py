"""Checks of a deployment: each with its result and the reason, and with what to do where it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from slipway.errors import ServiceError

State = Literal["ok", "failed", "skipped"]
Step = tuple[str, Callable[[], str]]
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """The result of one check; `subject` is a use case, or `server`."""

    subject: str
    name: str
    state: State
    detail: str


def run_check(subject: str, name: str, step: Callable[[], str]) -> Check:
    """Run a step, which returns what it found, or raises ServiceError with what is wrong."""
    try:
        return Check(subject, name, "ok", step())
    except ServiceError as error:
        return Check(subject, name, "failed", str(error))


def run_checks(subject: str, steps: Iterable[Step], required: int) -> Iterator[Check]:
    """Run the steps in order; where one of the first `required` fails, those after it are skipped."""
    broken = ""
    for number, (name, step) in enumerate(steps):
        if broken:
            yield Check(subject, name, "skipped", f"because {broken} failed.")
            continue
        check = run_check(subject, name, step)
        if check.state == "failed" and number < required:
            broken = name
        yield check


def retry_until(deadline: float, step: Callable[[], str]) -> str:
    """Run the step until it succeeds; after the deadline (time.monotonic) its error is raised."""
    while True:
        try:
            return step()
        except ServiceError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(min(_RETRY_SECONDS, max(0.0, deadline - time.monotonic())))
