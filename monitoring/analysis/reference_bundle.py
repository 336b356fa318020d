"""The bundle of the version that is watched, from the registry, kept under its digest: its reference and thresholds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest
from slipway.errors import NotFound
from slipway.settings import Settings


def fetch(settings: Settings, usecase: str, version: str, digest: str) -> Path:
    """The folder of the whole bundle, every byte checked; asks the registry only for what is not there yet.

    Raises:
        RegistryError: the bundle is not there yet and the registry does not answer.
        NotFound: the registry has no such version.
        BundleError: what the registry has is another bundle than the one that answered.
    """
    folder = settings.var / "monitor" / digest
    if folder.is_dir():
        manifest.verify(folder, digest)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as draft:
        whole = Path(draft) / "bundle"
        _download(usecase, version, digest, whole)
        if not folder.is_dir():
            whole.rename(folder)
    return folder


def _download(usecase: str, version: str, digest: str, into: Path) -> None:
    registry = Registry()
    try:
        registry.fetch_bundle(registry.version(usecase, version), into, serving_only=False)
    except NotFound:
        raise NotFound(
            f"{usecase} version {version} answered lately, but the registry {registry.uri} has no such version: "
            "give its folder with --bundle."
        ) from None
    manifest.read_manifest(into, digest)
