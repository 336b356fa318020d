"""`slipway package`: a version with everything that serves it, as a Bento and as an image."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say

if TYPE_CHECKING:
    from bentos.images.source import Source


class Device(StrEnum):
    cpu, gpu = "cpu", "gpu"


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The use case.")],
    device: Annotated[Device, typer.Option("--device", help="What the image is for.")] = Device.cpu,
    version: Annotated[
        str | None, typer.Option("--version", metavar="N", help="This version; else the one that is served.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="DIR", help="This bundle: no registry is asked.")
    ] = None,
    containerize: Annotated[bool, typer.Option("--containerize", help="Build the image, too, with Docker.")] = False,
    base: Annotated[
        str | None, typer.Option("--base", metavar="IMAGE", help="Another base image: Python 3.11 on Debian.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a Bento, and an image, that serve a version without a registry.

    The champion, unless another version or a bundle is named.
    """
    from bentos import images

    if version is not None and bundle is not None:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    if base and not containerize:
        raise typer.BadParameter("--base is of the image: add --containerize.")
    if containerize:
        images.require_engine()
    packaged = images.build_bento(_source(name, version, bundle), device.value)
    image = images.build_image(packaged, base) if containerize else None
    result: dict[str, Any] = {"bento": packaged.tag, "directory": packaged.directory, "labels": packaged.labels}
    if image:
        result["image"] = {"tag": image.tag, "id": image.id, "size": image.size, "sbom": image.sbom}
    if as_json:
        print_json(result)
        return
    typer.echo(f"bento  {packaged.tag}, of {name} {packaged.version}, in {packaged.directory}")
    if image:
        typer.echo(f"image  {image.tag}, {image.size / 1e6:.0f} MB; what is in it: {image.sbom}")


def _source(name: str, version: str | None, bundle: Path | None) -> Source:
    from bentos import images
    from slipway.local import services
    from slipway.settings import settings

    if bundle is not None:
        return images.given(bundle, settings(), name)
    # a registry that a variable names must answer itself: the laptop's would be another one
    with nullcontext() if settings().mlflow_tracking_uri else services("mlflow", say=say):
        if version is not None:
            return images.of_version(name, version, settings())
        return images.current(name, settings())
