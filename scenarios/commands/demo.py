"""Command `slipway demo`: run the whole path once and print a table of the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.harness.report import print_checks, run_and_report
from slipway.cli.options import Json
from slipway.console import say

if TYPE_CHECKING:
    from scenarios.harness.checks import Result


def command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Use cases; all of them.")] = None,
    as_json: Json = False,
) -> None:
    """Run the whole path once, with real processes, and check every part of it.

    Exits with 0 only if every check held. What it creates stays in the state folder: `slipway up` goes on from there.
    """
    from scenarios.demo import Demo
    from slipway.config import names as known

    say("This takes about four minutes on two cores.")
    run_and_report(Demo(names or known(), say), _print_result, as_json)


def _print_result(result: Result) -> None:
    print_checks(result, "It did not finish: the same command goes on where the training stopped.")
    if result.held:
        typer.echo("`make up` keeps all of it running, without training again.")
