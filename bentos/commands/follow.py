"""`slipway follow`: the follower as a process of its own, as beside a server that runs with `--no-follow`."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="The use cases; none: those in SLIPWAY_SERVE.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Say whether the follower of this machine looks, and end: for a probe.")
]


def command(names: Names = None, check: Check = False) -> None:
    """Bring the versions that the registry's aliases name to this machine, until it is told to end.

    It only reads the registry. Each version is fetched into the store, checked, and pointed at; one that is broken, or
    whose gates failed, is refused, and what serves stays.
    """
    from bentos.follower import follower
    from slipway.errors import ServiceError
    from slipway.settings import settings

    found = settings()
    usecases = names or list(found.serve)
    if not usecases:
        raise typer.BadParameter("name one or more use cases, as in `slipway follow digits credit_risk`.")
    if check:
        if wrong := follower.stuck(usecases, found):
            raise ServiceError(" ".join(wrong))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # also while it waits for the registry
    follower.log_to_stderr()
    follower.run(usecases, found, threading.Event())
