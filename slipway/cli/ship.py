"""`slipway ship`: the process beside the servers that empties the spool."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.cli.progress import say
from slipway.errors import SlipwayError


def command(
    once: Annotated[bool, typer.Option("--once", help="Ship what is complete now, and exit.")] = False,
    as_json: Json = False,
) -> None:
    """Move the prediction log to Parquet: complete segments of the spool, until stopped.

    A segment leaves the spool only when every sink has it, so a kill at any moment loses and doubles nothing.
    """
    from monitoring.ship import ParquetSink, Shipper, follow
    from slipway.settings import settings

    shipper = Shipper(settings(), [ParquetSink(settings())])
    if not once:
        say(f"shipping {settings().spool} to {settings().log_root}")
        follow(shipper, say)
        return
    shipped = shipper.ship()
    if as_json:
        print_json({"segments": shipped.segments, "events": shipped.events, "failed": shipped.failed})
    else:
        typer.echo(f"{shipped.events} events of {shipped.segments} segments are in {settings().log_root}")
    if shipped.failed:
        raise SlipwayError(
            "; ".join(shipped.failed[:3]) + ". They stay in the spool: run it again when the cause is gone."
        )
