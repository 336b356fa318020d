"""Reference bundle: the bundle of the watched version, downloaded once and kept under its digest."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest
from slipway.errors import NotFound
from slipway.settings import Settings


def fetch(settings: Settings, usecase: str, version: str, digest: str) -> Path:
    """Get the folder of the complete bundle, every byte verified; it is downloaded only if it is not there yet.

    Raises:
        RegistryError: the bundle is not there yet and the registry does not respond.
        NotFound: the registry has no such version.
        BundleError: the bundle in the registry is not the one that made the predictions.
    """
    folder = settings.var / "monitor" / digest
    if folder.is_dir():
        os.utime(folder)  # what nobody uses is removed one day
        manifest.verify(folder, digest)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as draft:
        complete = Path(draft) / "bundle"
        _download(usecase, version, digest, complete)
        if not folder.is_dir():
            complete.rename(folder)
    return folder


def _download(usecase: str, version: str, digest: str, into: Path) -> None:
    registry = Registry()
    try:
        registry.fetch_bundle(_find_version(registry, usecase, version, digest), into, serving_only=False)
    except NotFound:
        raise NotFound(
            f"{usecase} version {version} made the latest predictions, but {registry.uri} has no such version: "
            "give its folder with --bundle."
        ) from None
    manifest.read_manifest(into, digest)


def _find_version(registry: Registry, usecase: str, number: str, digest: str) -> ModelVersion:
    """Find the version with the bundle, whatever its number is by now; else the one with the number, which is refused
    as soon as its manifest is read."""
    same = (version for version in registry.versions(usecase) if version.digest == digest)
    return next(same, None) or registry.version(usecase, number)
