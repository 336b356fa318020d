"""The arguments and options that several commands share, and how they print a result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from slipway.errors import SettingsError

UseCaseName = Annotated[str, typer.Argument(metavar="NAME", help="The use case: a folder in usecases/.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a parameter, or a key of usecase.yaml like split.salt."),
]


def overrides(pairs: Sequence[str] | None) -> dict[str, str]:
    """Parse `--set KEY=VALUE` pairs; the last of a repeated key wins."""
    wrong = [pair for pair in pairs or () if "=" not in pair]
    if wrong:
        raise SettingsError(f"--set {wrong[0]!r} has no '='. Write --set KEY=VALUE, as in --set epochs=2.")
    return dict(pair.split("=", 1) for pair in pairs or ())


def print_json(result: Any) -> None:
    """Print one JSON document on standard output; all other output belongs on standard error."""
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False, default=str))
