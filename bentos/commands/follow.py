"""`slipway follow`: the follower as a process of its own, for a server that runs with `--no-follow`."""

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
    bool,
    typer.Option("--check", help="Check that this machine's follower polls the registry, and exit: for a probe."),
]


def command(names: Names = None, check: Check = False) -> None:
    """Bring the versions that the registry's aliases name to this machine, until it is stopped.

    It only reads the registry. Each version is fetched into the store, checked, and made the desired one; a version
    that is broken, or whose gates failed, is refused, and the version that serves stays.
    """
    from bentos.follower import follower, status
    from slipway import ecs_logging
    from slipway.errors import ServiceError
    from slipway.settings import settings

    config = settings()
    usecases = names or list(config.serve)
    if not usecases:
        raise typer.BadParameter("name one or more use cases, as in `slipway follow digits credit_risk`.")
    if check:
        if stuck := status.stuck_followers(usecases, config):
            raise ServiceError(" ".join(stuck))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # ends a wait for the registry, too
    ecs_logging.start("follower", config)
    follower.run(usecases, config, threading.Event())
