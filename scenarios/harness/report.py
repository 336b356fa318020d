"""Commands that run a scenario: they print its checks, and exit with 0 only if all of them held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol, TypeVar

import typer

from scenarios.harness.checks import Result, table
from slipway.cli.options import print_json

R = TypeVar("R", bound=Result)


class Scenario(Protocol[R]):
    """Scenario with its result, which has the checks so far even where `run` raises."""

    result: R

    def run(self) -> R: ...


def run_and_report(scenario: Scenario[R], show: Callable[[R], None], as_json: bool) -> None:
    """Run the scenario and print its result, also where it raises.

    Raises:
        typer.Exit: a check did not hold; the exit code is 1.
    """
    try:
        scenario.run()
    finally:
        if not as_json:
            show(scenario.result)
    if as_json:
        print_json(asdict(scenario.result))
    if not scenario.result.held:
        raise typer.Exit(1)


def print_checks(result: Result, unfinished: str) -> None:
    """Print the checks, the files and how many checks held; `unfinished` is added for a run that did not finish."""
    if result.checks:
        typer.echo("\n".join(["", "What was checked:", *table(result.checks)]))
    if result.files:
        width = max(map(len, result.files))
        typer.echo("\n".join(["", "Open:", *(f"  {what:{width}}  {path}" for what, path in result.files.items())]))
    held = sum(check.held for check in result.checks)
    ended = "" if result.finished else f" {unfinished}"
    typer.echo(f"\n{held} of {len(result.checks)} checks held, in {result.seconds:.0f} s.{ended}")
