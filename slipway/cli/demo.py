"""`slipway demo`: the whole path once, and a table of what was checked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.cli.progress import say

if TYPE_CHECKING:
    from slipway.demo import Result


def command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Use cases; all of them.")] = None,
    as_json: Json = False,
) -> None:
    """Run the whole path once, with real processes, and check every part of it.

    Exits with 0 only if every check held. What it made stays in the state folder: `slipway up` goes on from there.
    """
    from slipway.demo import Demo
    from slipway.usecase import names as known

    say("This takes about four minutes on two cores.")
    demo = Demo(names or known(), say)
    try:
        demo.run()
    finally:
        if not as_json:
            _show(demo.result)
    if as_json:
        print_json(asdict(demo.result))
    if not demo.result.held:
        raise typer.Exit(1)


def _show(result: Result) -> None:
    from slipway.demo import table

    if result.checks:
        typer.echo("\n".join(["", "What was checked:", *table(result.checks)]))
    if result.files:
        width = max(map(len, result.files))
        typer.echo("\n".join(["", "Open:", *(f"  {what:{width}}  {path}" for what, path in result.files.items())]))
    held = sum(check.held for check in result.checks)
    ended = "" if result.finished else " It did not finish: the same command goes on where the training stopped."
    typer.echo(f"\n{held} of {len(result.checks)} checks held, in {result.seconds:.0f} s.{ended}")
    if result.held:
        typer.echo("`make up` keeps all of it running, without training again.")
