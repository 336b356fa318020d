"""Command `python -m scenarios.delivery`, behind `make rehearse`: run the rehearsal and print its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.harness.report import print_checks, run_and_report
from slipway.cli import run_program
from slipway.cli.options import Json
from slipway.console import say

if TYPE_CHECKING:
    from scenarios.delivery.scenario import DeliveryResult


def command(
    base: Annotated[str, typer.Option(help="Base image; the Dockerfiles' own where left out.")] = "",
    short: Annotated[bool, typer.Option("--short", help="Fewer pushes, in half the time.")] = False,
    as_json: Json = False,
) -> None:
    """Push to a repository of this machine, and follow each push through training, build and signature to a rollout.

    The workflows run in act, on a Docker engine, and on the cluster that KUBECONFIG names, in two new namespaces that
    stay, to be looked at. It rehearses the last commit: what is not committed is not pushed. Exits with 0 only if every
    check held; then, unless it is the short form, it writes its report into the docs.
    """
    from scenarios.delivery import scenario
    from scenarios.harness import state_folder
    from slipway.cli.environment import move
    from slipway.settings import settings

    var = settings().var.resolve() / "delivery"
    state_folder.empty(var, "a rehearsal")
    move(var, var / "checkout" / "usecases")
    rehearsal = scenario.Rehearsal(base, short, say)
    run_and_report(rehearsal, lambda result: _report(result, short), as_json)


def _report(result: DeliveryResult, short: bool) -> None:
    from scenarios.delivery import report

    if result.runs:
        typer.echo("\n".join(["", *report.job_lines(result.runs)]))
    print_checks(result, "It did not finish.")
    if result.held and not short:
        report.write(report.all_lines(result.runs, result.checks, result.seconds))
        typer.echo(f"Written to {report.PAGE}.")


if __name__ == "__main__":
    run_program(command, "python -m scenarios.delivery")
