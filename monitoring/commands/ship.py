"""`slipway ship`: moves the prediction log from the spool to its store."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say
from slipway.errors import SlipwayError

if TYPE_CHECKING:
    from monitoring.log_shipping.shipper import Shipper
    from slipway.settings import Settings


def command(
    once: Annotated[bool, typer.Option("--once", help="Ship the segments that are complete now, and exit.")] = False,
    as_json: Json = False,
) -> None:
    """Move complete segments of the prediction log from the spool to its store, until stopped.

    A segment leaves the spool only when every sink has it, so a kill at any time loses and duplicates nothing. After a
    signal it continues until the spool is empty, and exits with 0; after a second signal it ends at once.
    """
    from monitoring.log_shipping.shipper import ParquetSink, Shipper
    from slipway.settings import settings

    shipper = Shipper(settings(), [ParquetSink(settings())])
    if not once:
        _follow(settings(), shipper)
        return
    shipped = shipper.ship()
    if as_json:
        print_json({"segments": shipped.segments, "events": shipped.events, "failed": shipped.failed})
    else:
        typer.echo(f"{shipped.events} events of {shipped.segments} segments are in {settings().log_root}")
    if shipped.failed:
        raise SlipwayError(
            "; ".join(shipped.failed[:3]) + ". They stay in the spool: run it again when the cause is fixed."
        )


def _follow(settings: Settings, shipper: Shipper) -> None:
    from monitoring.log_shipping.shipper import follow

    with _metrics_served(settings, shipper):
        left = follow(settings, shipper, say)
    if left:
        raise SlipwayError(f"{left} events are left in {settings.spool}: the next `slipway ship` takes them.")


def _metrics_served(settings: Settings, shipper: Shipper) -> AbstractContextManager[object]:
    if not settings.ship_port:
        return nullcontext()
    from monitoring.log_shipping.exporter import serve_metrics

    return serve_metrics(settings, shipper)
