"""Source: the bundle that is packaged, refused here where a server would refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bentos.follower import bundle_resolver
from bentos.models import load
from bentos.models.acceptance import check_acceptance
from slipway.contracts.bundle import manifest as bundle
from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.settings import Settings
from slipway.system import files


@dataclass(frozen=True)
class Source:
    """A bundle that was loaded and answered its probe; `version` is the start of its digest where it has no other."""

    usecase: str
    version: str
    digest: str
    contract: int
    directory: Path


def current(name: str, settings: Settings) -> Source:
    """The version that the registry's alias names now. Raises what `given` and the registry raise."""
    return given(bundle_resolver.resolve_alias(name, settings), settings, name)


def of_version(name: str, number: str, settings: Settings) -> Source:
    """That version. Raises what `given` and the registry raise."""
    return given(bundle_resolver.resolve_version(name, number, settings), settings, name)


def given(directory: Path, settings: Settings, name: str) -> Source:
    """The bundle in `directory`, which must be of the use case `name`.

    Raises:
        BundleError: it is not whole, of another contract version or use case, a gate failed, or it answers its probe
            in another way.
    """
    manifest = bundle.verify(directory, serving_only=True)
    stored = desired.stored_version(directory)
    digest = files.file_sha256(directory / bundle.MANIFEST)
    if stored and (stored.name, stored.digest) != (manifest.usecase, digest):
        raise BundleError(f"{directory}/version.json is of another bundle: fetch the bundle again.")
    loaded = load(directory, name, digest=digest, source="bundle", device="cpu")
    check_acceptance(loaded, None, settings)
    return Source(name, loaded.version, digest, manifest.contract, directory)
