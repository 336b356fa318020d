"""`slipway loop`: from a change in the world to a better champion, and a bad canary taken back, every step checked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.cli.progress import say
from slipway.errors import SettingsError

if TYPE_CHECKING:
    from slipway.loop import Result


def command(
    sabotage: Annotated[
        str, typer.Option(metavar="KIND", help="What is wrong with the bad version: errors, slow or slice.")
    ] = "errors",
    as_json: Json = False,
) -> None:
    """Run the whole loop once, with real processes, and check every transition from outside.

    It has a state folder of its own, `loop` in the usual one, which it begins by emptying. Exits with 0 only if every
    check held.
    """
    from slipway.cli.environment import move
    from slipway.loop import KINDS, Loop
    from slipway.settings import settings

    if sabotage not in KINDS:
        raise SettingsError(f"--sabotage {sabotage!r}: choose of {', '.join(KINDS)}.")
    original, var = settings().usecases.resolve(), settings().var.resolve() / "loop"
    move(var, var / "usecases")
    say("This takes about ten minutes on two cores.")
    loop = Loop(sabotage, original, say)
    try:
        loop.run()
    finally:
        if not as_json:
            _show(loop.result)
    if as_json:
        print_json(asdict(loop.result))
    if not loop.result.held:
        raise typer.Exit(1)


def _show(result: Result) -> None:
    from slipway.demo import table

    if result.history:
        typer.echo("\nWhat happened:")
        for event in result.history["events"]:
            version = f"version {event['version']}" if event["version"] else ""
            typer.echo(f"  {event['at'][11:19]}  {event['action']:19} {version:10}  {event['who']}: {event['why']}")
    if result.transitions:
        width = max(len(transition.what) for transition in result.transitions)
        lines = [f"  {each.what:{width}}  {each.seconds:6.1f} s" for each in result.transitions]
        typer.echo("\n".join(["", "How long it took:", *lines]))
    if result.checks:
        typer.echo("\n".join(["", "What was checked:", *table(result.checks)]))
    if result.files:
        typer.echo("\n".join(["", "Open:", *(f"  {what}  {path}" for what, path in result.files.items())]))
    held = sum(check.held for check in result.checks)
    ended = "" if result.finished else " It did not finish."
    typer.echo(f"\n{held} of {len(result.checks)} checks held, in {result.seconds:.0f} s.{ended}")
