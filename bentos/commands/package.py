"""`slipway package`: packages a version with the service, as a Bento and as an image."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say

if TYPE_CHECKING:
    from bentos.images import Packaged
    from bentos.images.container import Image
    from bentos.images.source import Source


class Device(StrEnum):
    cpu, gpu = "cpu", "gpu"


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The use case.")],
    device: Annotated[Device, typer.Option("--device", help="The device that the image is for.")] = Device.cpu,
    version: Annotated[
        str | None, typer.Option("--version", metavar="N", help="This version; by default the champion.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="DIR", help="This bundle, without a registry.")
    ] = None,
    containerize: Annotated[bool, typer.Option("--containerize", help="Also build the image, with Docker.")] = False,
    base: Annotated[
        str | None, typer.Option("--base", metavar="IMAGE", help="Another base image, with Python 3.11 on Debian.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a Bento, and an image, that serve a version without a registry.

    It packages the champion, unless another version or a bundle is given.
    """
    from bentos import images

    if version is not None and bundle is not None:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    if base and not containerize:
        raise typer.BadParameter("--base needs an image: add --containerize.")
    if containerize:
        images.require_engine()
    packaged = images.build_bento(_source(name, version, bundle), device.value)
    image = images.build_image(packaged, base) if containerize else None
    _print(packaged, image, as_json)


def _print(packaged: Packaged, image: Image | None, as_json: bool) -> None:
    result: dict[str, Any] = {"bento": packaged.tag, "directory": packaged.directory, "labels": packaged.labels}
    if image:
        result["image"] = {"tag": image.tag, "id": image.id, "size": image.size, "sbom": image.sbom}
    if as_json:
        print_json(result)
        return
    typer.echo(f"bento  {packaged.tag}, of {packaged.usecase} {packaged.version}, in {packaged.directory}")
    if image:
        typer.echo(f"image  {image.tag}, {image.size / 1e6:.0f} MB; its contents: {image.sbom}")


def _source(name: str, version: str | None, bundle: Path | None) -> Source:
    from bentos import images
    from slipway.local import services
    from slipway.settings import settings

    if bundle is not None:
        return images.from_directory(bundle, settings(), name)
    # a configured registry must answer itself: the local server would be another one
    with nullcontext() if settings().mlflow_tracking_uri else services("mlflow", say=say):
        if version is not None:
            return images.from_version(name, version, settings())
        return images.from_alias(name, settings())
