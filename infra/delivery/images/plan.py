"""Plan of a release's images: their names, and tags that name one content for ever."""

from __future__ import annotations

from dataclasses import dataclass

from bentos.images.bento import bento_name
from slipway import __version__
from slipway.clients.mlflow.artifacts import ModelVersion
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CHALLENGER, CHAMPION
from slipway.errors import NotFound

PLATFORM_IMAGES = ("slipway-ship", "slipway-platform")  # those that `make images` builds
_COMMIT, _BUNDLE = 12, 8  # characters of a commit, and of a bundle's digest, in a tag


@dataclass(frozen=True)
class PlannedImage:
    """An image of the release; with a `model`, the serving image of that version."""

    name: str
    tag: str
    version: str
    model: ModelVersion | None = None


def platform_images(commit: str) -> list[PlannedImage]:
    """Plan the images of the shipper and of the platform."""
    return [PlannedImage(name, f"{__version__}-{commit[:_COMMIT]}", __version__) for name in PLATFORM_IMAGES]


def serving_image(model: ModelVersion, commit: str) -> PlannedImage:
    """Plan the serving image of a version.

    Its tag also has the start of the bundle's digest: a version's number comes again where a version is deleted.
    """
    bundle = (model.digest or "")[:_BUNDLE]
    tag = "-".join(part for part in (model.version, bundle, commit[:_COMMIT]) if part)
    return PlannedImage(bento_name(model.name), tag, model.version, model)


def packaged_version(registry: Registry, usecase: str) -> ModelVersion | None:
    """Choose the version to package: the champion; while there is none, the challenger."""
    try:
        return registry.aliased(usecase, CHAMPION) or registry.aliased(usecase, CHALLENGER)
    except NotFound:
        return None


def required_version(registry: Registry, usecase: str) -> ModelVersion:
    """Choose the version of a use case that must have one. Raises NotFound otherwise."""
    found = packaged_version(registry, usecase)
    if found is None:
        raise NotFound(
            f"{usecase} has neither a champion nor a challenger in {registry.uri}, so there is nothing to package. "
            f"To train it: python -m infra.delivery train {usecase}"
        )
    return found
