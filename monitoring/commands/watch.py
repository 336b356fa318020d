"""`slipway watch`: the one long-lived monitoring process."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Use cases to watch; by default all.")
    ] = None,
) -> None:
    """Reconcile registry and servers, run rollouts, and serve the status page.

    Writes into each version's tag what the servers did with it, moves an alias that they refused back, and serves the
    status page with the last verdicts and the metrics, until stopped.
    """
    from monitoring.watch import watch
    from slipway import ecs_logging
    from slipway.settings import settings

    watch(names or [], settings(), ecs_logging.start("watch"))
