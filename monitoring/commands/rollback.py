"""`slipway rollback`: returns to the previous version, and refuses the current one."""

from __future__ import annotations

from typing import Annotated

import typer

from monitoring.release.outcome import wait_and_print
from slipway.cli.options import Json, UseCaseName
from slipway.console import say


def command(
    name: UseCaseName,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Reason, for the audit and the version's tag.")] = "",
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait until no worker serves it.")] = 0,
    as_json: Json = False,
) -> None:
    """Roll back the canary, else the champion.

    Without the canary the champion serves alone; the alias of a champion returns to the previous one. The version that
    was rolled back is refused until a person deletes its tag slipway.refused.
    """
    from monitoring.rollout.rollback import roll_back, wait_until_back

    done = roll_back(name, why)
    instead = "the champion serves alone" if done.instead is None else f"version {done.instead} is"
    say(f"version {done.version} of {name} is refused and no {done.alias} any more: {instead}.")
    wait_and_print(done, wait, wait_until_back, "workers that serve the version from before", as_json)
