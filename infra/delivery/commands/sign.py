"""`sign`: signs the images of a release, and attests what they hold and how they were built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.delivery.commands.options import ReleaseFile
from slipway.console import say


def command(
    release: ReleaseFile,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Private key of cosign; its password: COSIGN_PASSWORD.")
    ] = None,
    keyless: Annotated[bool, typer.Option("--keyless", help="By the workflow's identity; so without --key.")] = False,
) -> None:
    """Sign the images of a release, and attest their bills of materials and their provenance.

    Signatures are in the registry, beside the images. Keyless ones, of GitHub Actions, are also in Sigstore's public
    log; those of a key are in none.
    """
    import os

    from infra.delivery.release import read_release
    from infra.delivery.signatures import cosign
    from infra.delivery.signatures.policy import signing

    if key is not None and keyless:
        raise typer.BadParameter("--key and --keyless exclude each other.")
    cosign.sign(read_release(release), release.resolve().parent, signing(key, os.environ), say)
