"""`slipway watch`: the one long-lived monitoring process."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.console import say


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="The use cases to watch; all where left out.")
    ] = None,
) -> None:
    """Keep registry and servers in agreement; show their state.

    Writes into each version's tag what the servers did with it, moves an alias that they refused back, and serves the
    status page with the last verdicts and their metrics, until stopped.
    """
    import logging

    from monitoring.watch import watch
    from slipway.settings import settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    watch(names or [], settings(), say)
