"""`slipway promote`: the alias moves to a version whose gates passed."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.cli.progress import say


def command(
    name: UseCaseName,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version's number in the registry.")],
    alias: Annotated[str, typer.Option(help="The alias to move: champion (production) or challenger (staging).")] = (
        "champion"
    ),
    override: Annotated[
        str | None,
        typer.Option(metavar="'WHO: WHY'", help="Promote it although its gates failed; kept as the version's tag."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait until every worker serves it.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a version the champion."""
    from monitoring.promote import promote, wait_until_served

    promoted = promote(name, version, alias, override)
    before = "which had none" if promoted.replaced is None else f"which was version {promoted.replaced}"
    say(f"{alias} of {name} is version {version}, {before}.")
    if wait:
        promoted = wait_until_served(promoted, wait)
        say(f"workers that serve it: {promoted.serving}, all of them.")
    if as_json:
        print_json(promoted.to_dict())
