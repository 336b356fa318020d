"""How the commands that move an alias end: they wait for the workers where that is wanted, and print the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from slipway.cli.options import print_json
from slipway.console import say


class Outcome(Protocol):
    """What a promotion or a rollback has done."""

    @property
    def serving(self) -> int | None: ...

    def to_dict(self) -> dict[str, Any]: ...


Moved = TypeVar("Moved", bound=Outcome)


def wait_and_print(
    outcome: Moved, seconds: float, wait: Callable[[Moved, float], Moved], done: str, as_json: bool
) -> None:
    """Wait so many seconds at most, say `done` with the number of workers, and print the outcome as JSON."""
    if seconds:
        outcome = wait(outcome, seconds)
        say(f"{done}: {outcome.serving}, all of them.")
    if as_json:
        print_json(outcome.to_dict())
