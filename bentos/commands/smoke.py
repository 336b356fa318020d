"""`slipway smoke`: checks a deployment as a client sees it, and prints the verdict."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json

if TYPE_CHECKING:
    from bentos.smoke import Check, Client, Expected

_COLOURS = {"ok": typer.colors.GREEN, "failed": typer.colors.RED, "skipped": typer.colors.YELLOW}


Url = Annotated[str, typer.Argument(metavar="URL", help="The deployment: http://HOST:PORT, or https://….")]
UseCases = Annotated[
    list[str] | None, typer.Option("--usecase", metavar="NAME", help="Only this use case; repeat for more. Else all.")
]
ExpectVersion = Annotated[str | None, typer.Option(metavar="V", help="The registered version that must serve.")]
Bundle = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The bundle that must serve, and reproduce its probe's outputs.")
]
MaxMedianMs = Annotated[
    float | None, typer.Option(min=0, metavar="MS", help="The longest median latency of a prediction.")
]
AllowOpen = Annotated[
    bool, typer.Option("--allow-open", help="Allow access without a key also on other addresses than loopback.")
]
Timeout = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until it is ready, and for the version.")
]


def command(
    url: Url,
    usecase: UseCases = None,
    expect_version: ExpectVersion = None,
    bundle: Bundle = None,
    max_median_ms: MaxMedianMs = None,
    allow_open: AllowOpen = False,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Check a deployment as a client does, and print the verdict.

    Health, schema, version, predictions, access, an invalid request, ids and latency. It sends about sixty predictions
    for each use case, and with --bundle the probe's rows: they are logged as tests, and count in no statistics. The key
    in SLIPWAY_API_KEY is sent. Exits with 1 where a check failed.
    """
    from bentos.smoke import Client, Expected, read_reference
    from slipway.settings import settings

    reference = read_reference(bundle) if bundle else None
    expected = Expected(tuple(usecase or ()), expect_version, reference, max_median_ms, allow_open, timeout)
    client = Client(url, settings().authorization)
    checks = _run(client, expected, quiet=as_json)
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        print_json({"url": client.url, "passed": not failed, "checks": [asdict(check) for check in checks]})
    else:
        typer.echo(f"{client.url}: " + (f"failed, {len(failed)} of {len(checks)} checks" if failed else "passed"))
    if failed:
        raise typer.Exit(1)


def _run(client: Client, expected: Expected, *, quiet: bool) -> list[Check]:
    """Run all checks, and print each when it is done, unless `quiet`."""
    from bentos.smoke import smoke

    checks = []
    with closing(client):
        for check in smoke(client, expected):
            checks.append(check)
            if not quiet:
                _print(check)
    return checks


def _print(check: Check) -> None:
    state = typer.style(f"{check.state:10}", fg=_COLOURS[check.state])
    typer.echo(f"{state}{check.subject:15} {check.name:14} {check.detail}")
