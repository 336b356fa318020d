"""Commands that run something whole and check it: they print what held, and exit with 0 only if all of it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from slipway.cli.options import print_json

if TYPE_CHECKING:
    from scenarios.demo import Result

R = TypeVar("R", bound="Result")


class Checked(Protocol[R]):
    """`result` has what was checked until then, also where `run` raises."""

    result: R

    def run(self) -> R: ...


def finish(it: Checked[R], show: Callable[[R], None], as_json: bool) -> None:
    """Run it, and print what came of it, also of a run that broke off."""
    try:
        it.run()
    finally:
        if not as_json:
            show(it.result)
    if as_json:
        print_json(asdict(it.result))
    if not it.result.held:
        raise typer.Exit(1)


def show_checks(result: Result, unfinished: str) -> None:
    """The checks, the files and how many held; `unfinished` is said of a run that broke off."""
    from scenarios.demo import table

    if result.checks:
        typer.echo("\n".join(["", "What was checked:", *table(result.checks)]))
    if result.files:
        width = max(map(len, result.files))
        typer.echo("\n".join(["", "Open:", *(f"  {what:{width}}  {path}" for what, path in result.files.items())]))
    held = sum(check.held for check in result.checks)
    ended = "" if result.finished else f" {unfinished}"
    typer.echo(f"\n{held} of {len(result.checks)} checks held, in {result.seconds:.0f} s.{ended}")
