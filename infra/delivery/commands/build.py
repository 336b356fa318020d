"""`build`: builds and pushes the images of the commit that is checked out."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.console import say

if TYPE_CHECKING:
    from infra.delivery.images.plan import PlannedImage
    from infra.delivery.release import Release


def command(
    registry: Annotated[str, typer.Option("--registry", metavar="HOST[/PREFIX]", help="Where to push the images.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The record of the release, release.json.")],
    usecases: Annotated[
        str, typer.Option("--usecases", metavar="A,B", help="The use cases to package; else all that have a version.")
    ] = "",
    base: Annotated[
        str, typer.Option("--base", metavar="IMAGE", help="Another base image, with Python 3.11 on Debian.")
    ] = "",
) -> None:
    """Build and push the images of this commit, and record their digests.

    The serving image of a use case has its champion; while there is none, its challenger. An image that the registry
    has already is not built again, so an interrupted build goes on. Beside FILE it writes each image's bill of
    materials (sbom/) and the record of its build (provenance/).
    """
    from infra.delivery.changed_parts import RELEASED
    from infra.delivery.git import clean_commit
    from infra.delivery.images.build import Builder
    from infra.delivery.release import read_release, registry_name, require_same_digests, write_release
    from slipway.errors import SettingsError
    from slipway.local import services
    from slipway.settings import settings

    commit = clean_commit(RELEASED)
    builder = Builder(registry_name(registry), commit, out.resolve().parent, base, say)
    # a configured registry must answer itself, as for `slipway package`
    with nullcontext() if settings().mlflow_tracking_uri else services("mlflow", say=say):
        planned = _plan([name.strip() for name in usecases.split(",") if name.strip()], commit)
        release = builder.release(planned)
    with suppress(SettingsError):  # there is no earlier build, or another release of Slipway wrote it
        require_same_digests(read_release(out), release)
    write_release(release, out)
    _report(release)


def _plan(usecases: list[str], commit: str) -> list[PlannedImage]:
    """Plan the images of the platform, and one for each use case that is named or has a version."""
    from infra.delivery.images.plan import packaged_version, platform_images, required_version, serving_image
    from slipway.clients.mlflow.registry import Registry
    from slipway.config import load, names
    from slipway.settings import settings

    registry = Registry(settings().registry_uri)
    if usecases:
        versions = [required_version(registry, load(name).name) for name in usecases]
    else:
        versions = [found for name in names() if (found := packaged_version(registry, name))]
    return [*platform_images(commit), *(serving_image(version, commit) for version in versions)]


def _report(release: Release) -> None:
    from infra.delivery.github import add_summary, write_output

    rows = [f"| {image.name} | {image.version} | `{image.tag}` | `{image.digest}` |" for image in release.images]
    table = "\n".join(["| image | version | tag | digest |", "| --- | --- | --- | --- |", *rows])
    add_summary(f"## Images of {release.commit[:12]}\n\n{table}")
    write_output("images", ",".join(image.name for image in release.images))
    for image in release.images:
        typer.echo(f"{release.reference(image)}  {image.tag}")
