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
    """Check this machine and what runs on it; each problem has its fix.

    Exits with 1 where something is an error, that is, will fail.
    """
    from slipway.local.doctor import examine

    if as_json:
        diagnoses = list(examine())
        print_json([asdict(diagnosis) for diagnosis in diagnoses])
    else:
        diagnoses = show(examine())
    if any(diagnosis.state == "error" for diagnosis in diagnoses):
        raise typer.Exit(1)


def show(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Print each diagnosis as soon as it is known, its fix below it; returns all of them."""
    shown = []
    for diagnosis in diagnoses:
        state = typer.style(f"{diagnosis.state:8}", fg=COLOURS[diagnosis.state])
        typer.echo(f"{state}{diagnosis.check:10} {diagnosis.detail}")
        if diagnosis.fix:
            typer.echo(f"{'':19}fix: {diagnosis.fix}")
        shown.append(diagnosis)
    return shown
