"""`slipway doctor`"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from slipway.cli.options import Json, print_json

if TYPE_CHECKING:
    from slipway.local.doctor import Diagnosis

COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "error": typer.colors.RED}


def command(as_json: Json = False) -> None:
    """Check this machine and what runs on it; each finding has its fix.

    Exits with 1 where something is an error, that is, will fail.
    """
    from slipway.local.doctor import examine

    if as_json:
        findings = list(examine())
        print_json([asdict(finding) for finding in findings])
    else:
        findings = show(examine())
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(1)


def show(findings: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Print each finding when it comes, its fix below it, and return them all."""
    shown = []
    for finding in findings:
        state = typer.style(f"{finding.state:8}", fg=COLOURS[finding.state])
        typer.echo(f"{state}{finding.check:10} {finding.detail}")
        if finding.fix:
            typer.echo(f"{'':19}fix: {finding.fix}")
        shown.append(finding)
    return shown
