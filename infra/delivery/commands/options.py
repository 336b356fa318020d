"""The arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ReleaseFile = Annotated[Path, typer.Argument(metavar="RELEASE", help="The record of the release, release.json.")]
TrustedKey = Annotated[
    Path | None, typer.Option("--key", metavar="PUB", help="Accept signatures of this public key of cosign.")
]
TrustedIdentity = Annotated[
    str | None,
    typer.Option("--identity", metavar="URL", help="Accept keyless signatures of this workflow; default: release.yml."),
]
