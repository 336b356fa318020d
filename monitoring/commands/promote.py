"""`slipway promote`: moves an alias to a version whose gates passed."""

from __future__ import annotations

from typing import Annotated

import typer

from monitoring.release.outcome import wait_and_print
from slipway.cli.options import Json, UseCaseName
from slipway.console import say


def command(
    name: UseCaseName,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version's number in the registry.")],
    alias: Annotated[str, typer.Option(help="The alias to move: champion, challenger or canary.")] = "champion",
    canary: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Begin as the canary, with this share of the requests."),
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(metavar="'WHO: WHY'", help="Promote it although its gates failed; stored as the version's tag."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait until every worker serves it.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a version the champion.

    A canary answers a share of the requests; `slipway watch` takes it through the stages of usecase.yaml, until it is
    promoted or rolled back.
    """
    from monitoring.release.promotion import promote, wait_until_served

    alias = "canary" if canary is not None else alias
    promoted = promote(name, version, alias, override, canary)
    before = "which had none" if promoted.replaced is None else f"which was version {promoted.replaced}"
    say(f"{alias} of {name} is version {version}, {before}.")
    wait_and_print(promoted, wait, wait_until_served, "workers that serve it", as_json)
