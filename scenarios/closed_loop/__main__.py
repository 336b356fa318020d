"""Command `python -m scenarios.closed_loop`: run the closed loop and print its events, durations and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.harness.report import print_checks, run_and_report
from slipway.cli import run_program
from slipway.cli.options import Json
from slipway.console import say
from slipway.errors import SettingsError

if TYPE_CHECKING:
    from scenarios.closed_loop import ClosedLoopResult


def command(
    sabotage: Annotated[
        str, typer.Option(metavar="KIND", help="The fault of the tampered version: errors, slow or slice.")
    ] = "errors",
    as_json: Json = False,
) -> None:
    """Run the closed loop once, with real processes, and check every transition.

    It uses a state folder of its own, `loop` in the usual one, which it empties first. Exits with 0 only if every check
    held.
    """
    from scenarios.closed_loop import KINDS, ClosedLoop
    from slipway.cli.environment import move
    from slipway.settings import settings

    if sabotage not in KINDS:
        raise SettingsError(f"--sabotage {sabotage!r}: choose of {', '.join(KINDS)}.")
    original, var = settings().usecases.resolve(), settings().var.resolve() / "loop"
    move(var, var / "usecases")
    say("This takes about ten minutes on two cores.")
    run_and_report(ClosedLoop(sabotage, original, say), _print_result, as_json)


def _print_result(result: ClosedLoopResult) -> None:
    if result.history:
        typer.echo("\nWhat happened:")
        for event in result.history["events"]:
            version = f"version {event['version']}" if event["version"] else ""
            typer.echo(f"  {event['at'][11:19]}  {event['action']:19} {version:10}  {event['who']}: {event['why']}")
    if result.transitions:
        width = max(len(transition.what) for transition in result.transitions)
        lines = [f"  {each.what:{width}}  {each.seconds:6.1f} s" for each in result.transitions]
        typer.echo("\n".join(["", "How long it took:", *lines]))
    print_checks(result, "It did not finish.")


if __name__ == "__main__":
    run_program(command, "python -m scenarios.closed_loop")
