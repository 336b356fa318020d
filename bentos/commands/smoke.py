"""`slipway smoke`: a deployment as a client sees it, and the verdict."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json

if TYPE_CHECKING:
    from bentos.smoke import Check

_COLOURS = {"ok": typer.colors.GREEN, "failed": typer.colors.RED, "not asked": typer.colors.YELLOW}


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="The deployment: http://HOST:PORT, or https://….")],
    usecase: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this use case; again for another. Else all.")
    ] = None,
    expect_version: Annotated[
        str | None, typer.Option(metavar="V", help="The version of the registry that must serve.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The bundle that must serve, and answer its probe as it says.")
    ] = None,
    max_median_ms: Annotated[
        float | None, typer.Option(min=0, metavar="MS", help="The most that the median prediction may take.")
    ] = None,
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="It may answer without a key, on other addresses than loopback, too.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long it may take to be ready, and to agree on a version."),
    ] = 30,
    as_json: Json = False,
) -> None:
    """Check a deployment as a client does, and say the verdict.

    Health, schema, version, predictions, access, a refused request, ids and latency. It sends about sixty predictions
    for each use case, and with --bundle the probe's rows: they are in the log as any. The key in SLIPWAY_API_KEY goes
    along. Exits with 1 where a check failed.
    """
    from bentos.smoke import Client, Expected, read_reference, smoke
    from slipway.settings import settings

    reference = read_reference(bundle) if bundle else None
    expected = Expected(tuple(usecase or ()), expect_version, reference, max_median_ms, allow_open, timeout)
    client = Client(url, settings().authorization)
    checks = []
    with closing(client):
        for check in smoke(client, expected):
            checks.append(check)
            if not as_json:
                _show(check)
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        print_json({"url": client.url, "passed": not failed, "checks": [asdict(check) for check in checks]})
    else:
        typer.echo(f"{client.url}: " + (f"failed, {len(failed)} of {len(checks)} checks" if failed else "passed"))
    if failed:
        raise typer.Exit(1)


def _show(check: Check) -> None:
    state = typer.style(f"{check.state:10}", fg=_COLOURS[check.state])
    typer.echo(f"{state}{check.subject:15} {check.name:14} {check.detail}")
