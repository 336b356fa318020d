"""`slipway monitor`: drift and live quality of the latest predictions."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.console import say
from slipway.timestamps import parse, readable

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def command(
    name: UseCaseName,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Compare the predictions since then: 30m, 24h, 7d, or an ISO 8601 time (UTC)."
        ),
    ] = None,
    window_rows: Annotated[
        int | None, typer.Option(min=1, help="Compare at most this number of the latest predictions.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle that made the predictions, if no registry has it.", exists=True, file_okay=False),
    ] = None,
    detailed: Annotated[
        bool | None,
        typer.Option(
            "--detailed/--no-detailed",
            help="Add Evidently's detailed page (ten seconds, 4 MB); by default when there is drift.",
        ),
    ] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit with 1 when there is drift.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the logged predictions with the model's reference, and write a verdict.

    Exits with 0 whatever the verdict is, unless --fail-on-drift is given.
    """
    start = parse_since(since) if since else None
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own pools keep memory that is free
    from monitoring.monitor import monitor
    from slipway import ecs_logging

    ecs_logging.start("monitor")

    found = monitor(name, start, window_rows, bundle, detailed)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if fail_on_drift and found["verdict"] == "drift":
        raise typer.Exit(1)


def parse_since(text: str) -> datetime:
    """Parse a time of `--since`: `24h` is 24 hours ago."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"--since {text!r}: give 30m, 24h, 7d or a time like 2026-01-31T12:00Z.") from None


def _print(found: dict[str, Any]) -> None:
    typer.echo(f"{found['usecase']}: {found['sentence']}")
    for test in [*found["features"], *found["predictions"]]:
        if test["drifted"]:
            typer.echo(f"  {test['name']}: {test['sentence']}")
    if found["quality"]:
        typer.echo(found["quality"]["sentence"])
    if found["synthetic"]:
        say("The model was trained on synthetic data.")
    if decision := found["retraining"] or _last_decision(found["usecase"]):
        typer.echo(_describe(decision))
    for note in found["notes"]:
        say(note)
    if found["report"]:
        typer.echo(f"Report: {found['report']}")


def _last_decision(usecase: str) -> dict[str, Any] | None:
    """The last decision on retraining, if this verdict requests none."""
    from monitoring.retraining.decisions import Decisions, to_dict
    from slipway.settings import settings

    decision = Decisions(settings(), usecase).latest()
    return to_dict(decision) if decision else None


def _describe(decision: dict[str, Any]) -> str:
    """Describe a decision: `Retraining refused (drift, requested by monitor, 2026-01-31 12:00 UTC, 17 times): …`"""
    times = f", {decision['times']:,} times" if decision["times"] > 1 else ""
    moment = readable(parse(decision["last"]))
    request = f"{decision['asked_for']}, requested by {decision['asked_by']}, {moment}{times}"
    run = f" Flow run {decision['flow_run_id']}." if decision["flow_run_id"] else ""
    return f"Retraining {decision['outcome']} ({request}): {decision['reason']}{run}"
