"""`slipway rollback`: back to the version before, and the bad one refused."""

from __future__ import annotations

from typing import Annotated

import typer

from monitoring.commands.outcome import wait_and_print
from slipway.cli.options import Json, UseCaseName
from slipway.console import say


def command(
    name: UseCaseName,
    why: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it stands in the audit and in the version's tag.")
    ] = "",
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait until no worker answers from it.")] = 0,
    as_json: Json = False,
) -> None:
    """Take back the canary, else the champion.

    A canary ends, and the champion goes on alone; a champion's alias goes back to the version that had it before. The
    version that was taken back is refused until a person deletes its tag slipway.refused.
    """
    from monitoring.rollout.rollback import roll_back, wait_until_back

    done = roll_back(name, why)
    instead = "nobody is, the champion answers" if done.instead is None else f"version {done.instead} is"
    say(f"version {done.version} of {name} is refused and no {done.alias} any more: {instead}.")
    wait_and_print(done, wait, wait_until_back, "workers that serve the version from before", as_json)
