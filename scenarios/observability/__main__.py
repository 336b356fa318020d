"""Command `python -m scenarios.observability`: provoke faults, and print what was observed of alerts and panels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from scenarios.harness.report import print_checks, run_and_report
from slipway.cli import run_program
from slipway.cli.options import Json
from slipway.console import say

if TYPE_CHECKING:
    from scenarios.observability.scenario import ObservabilityResult


def command(as_json: Json = False) -> None:
    """Provoke every fault of a deployment, await each alert, and read every panel of the dashboards.

    Where ELASTICSEARCH_URL is set, or Elasticsearch is installed, it tells the story of one prediction, too: from its
    request to what Kibana asks for. It uses a state folder of its own, `observe` in the usual one, which it empties
    first, and in Elasticsearch the streams of the environment `local`. Exits with 0 only if every check held; then
    it writes its tables into the docs.
    """
    from scenarios.observability.scenario import Observability
    from slipway.cli.environment import move
    from slipway.settings import settings

    original, var = settings().usecases.resolve(), settings().var.resolve() / "observe"
    search = settings().elasticsearch_url
    move(var, var / "usecases")
    os.environ["ELASTICSEARCH_URL"] = search
    settings.cache_clear()
    say("This takes about ten minutes on two cores. Durations of rules are shortened: see the table's head.")
    run_and_report(Observability(original, say), _print_result, as_json)


def _print_result(result: ObservabilityResult) -> None:
    from scenarios.observability import report

    pages = {
        report.ALERTS_PAGE: report.alert_lines(result.alerts),
        report.PANELS_PAGE: report.panel_lines(result.panels),
    }
    if result.story:
        pages[report.STORY_PAGE] = report.story_lines(result.story, result.searched)
    for lines in pages.values():
        typer.echo("\n".join(["", *lines]))
    print_checks(result, "It did not finish.")
    if result.held:
        for page, lines in pages.items():
            report.write(page, lines)
            typer.echo(f"Written to {page}.")


if __name__ == "__main__":
    run_program(command, "python -m scenarios.observability")
