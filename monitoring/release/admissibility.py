"""Admissibility: whether servers would refuse a version, as far as its tags and the small files of its bundle tell."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest, signing
from slipway.contracts.bundle.admission import require_admissible, require_servable
from slipway.contracts.registry_names import SERVING_PREFIX
from slipway.contracts.schema import Schema
from slipway.contracts.schema.compatibility import require_compatible
from slipway.errors import BundleError

_SCHEMA = "serve/schema.json"
_FILES = (manifest.METRICS, _SCHEMA)
_HAS_SERVED = ("serving:", "replaced:")


def has_served(version: ModelVersion) -> bool:
    """Whether servers have served the version as champion: going back to it is a rollback."""
    return any(state.startswith(_HAS_SERVED) for state in _serving_states(version))


def require_servable_version(registry: Registry, version: ModelVersion, champion: ModelVersion | None) -> None:
    """Check what servers check before they load a bundle, and whether it takes every request that the champion takes.

    Servers keep the previous champion, and return to it unchecked; nor do they serve a champion that they refused.

    Raises:
        BundleError: they would refuse it; the message is the reason.
        RegistryError: the registry does not respond.
        SettingsError: a file that SLIPWAY_TRUSTED_KEYS names is no public key.
    """
    stored = require_admissible(version.name, version.version, version.run_id, version.tags)
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "new"
        try:
            registry.fetch_files(version, new, _FILES)
            require_servable(new, stored)
            signing.require(new)
            serving = None if has_served(version) else _served_schema(registry, champion, Path(folder) / "champion")
            if champion and serving:
                require_compatible(champion.version, serving, Schema.load(new / _SCHEMA))
        except BundleError as error:
            raise BundleError(_without_path(str(error), new)) from None


def _served_schema(registry: Registry, champion: ModelVersion | None, into: Path) -> Schema | None:
    """The champion's schema; None where there is none, or where servers do not serve it."""
    if champion is None or _is_refused(champion):
        return None
    try:
        registry.fetch_files(champion, into, _FILES)
        return Schema.load(into / _SCHEMA)
    except BundleError:  # it was altered, which is no fault of the version that replaces it
        return None


def _without_path(message: str, folder: Path) -> str:
    """Leave out where the bundle was on this machine."""
    for place in (f" in {folder}", f" of {folder}", f"{folder}/"):
        message = message.replace(place, "")
    return message


def _is_refused(version: ModelVersion) -> bool:
    return any(state.startswith("refused:") for state in _serving_states(version))


def _serving_states(version: ModelVersion) -> list[str]:
    return [state for key, state in version.tags.items() if key.startswith(SERVING_PREFIX)]
