"""Source of an image: the bundle to package, with the same acceptance checks as in a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bentos.follower import bundle_resolver
from bentos.models import load
from bentos.models.acceptance import check_acceptance
from slipway.contracts.bundle import manifest
from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.settings import Settings
from slipway.system import files


@dataclass(frozen=True)
class Source:
    """A bundle that passed its acceptance checks; without a version number, `version` is the start of its digest."""

    usecase: str
    version: str
    digest: str
    contract: int
    directory: Path


def from_alias(name: str, settings: Settings) -> Source:
    """Fetch the version that the registry's alias names now. Raises as `from_directory` and the registry do."""
    return from_directory(bundle_resolver.resolve_alias(name, settings), settings, name)


def from_version(name: str, number: str, settings: Settings) -> Source:
    """Fetch a version by its number. Raises as `from_directory` and the registry do."""
    return from_directory(bundle_resolver.resolve_version(name, number, settings), settings, name)


def from_directory(directory: Path, settings: Settings, name: str) -> Source:
    """Check the bundle in `directory`, which must be of the use case `name`.

    Raises:
        BundleError: the bundle is incomplete, of another contract version or use case, a gate failed, or it does not
            reproduce its probe.
    """
    content = manifest.verify(directory, serving_only=True)
    stored = desired.stored_version(directory)
    digest = files.file_sha256(directory / manifest.MANIFEST)
    if stored and (stored.name, stored.digest) != (content.usecase, digest):
        raise BundleError(f"{directory}/version.json is of another bundle: fetch the bundle again.")
    loaded = load(directory, name, digest=digest, source="bundle", device="cpu")
    check_acceptance(loaded, None, settings)
    return Source(name, loaded.version, digest, content.contract, directory)
