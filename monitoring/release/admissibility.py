"""Admissibility: whether servers would refuse a version, as far as its tags and the small files of its bundle tell."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest
from slipway.contracts.bundle.admission import require_admissible, require_servable
from slipway.contracts.registry_names import SERVING_PREFIX
from slipway.contracts.schema import Schema
from slipway.contracts.schema.compatibility import require_compatible
from slipway.errors import BundleError

_SCHEMA = "serve/schema.json"
_HAS_SERVED = ("serving:", "replaced:")


def has_served(version: ModelVersion) -> bool:
    """Whether servers have served the version as champion: going back to it is a rollback."""
    return any(state.startswith(_HAS_SERVED) for state in _serving_states(version))


def require_servable_version(registry: Registry, version: ModelVersion, champion: ModelVersion | None) -> None:
    """Check what servers check before they load a bundle, and whether it takes every request that the champion takes.

    Servers keep the previous champion, and return to it unchecked; nor do they serve a champion that they refused.

    Raises:
        BundleError: they would refuse it; the message is the reason.
        RegistryError: the registry does not answer.
    """
    stored = require_admissible(version.name, version.version, version.run_id, version.tags)
    with tempfile.TemporaryDirectory() as folder:
        new = _fetch(registry, version, Path(folder) / "new")
        require_servable(new, stored)
        if champion is None or has_served(version) or _is_refused(champion):
            return
        try:
            serving = Schema.load(_fetch(registry, champion, Path(folder) / "champion") / _SCHEMA)
        except BundleError:  # the champion was altered, which is no fault of this version
            return
        require_compatible(champion.version, serving, Schema.load(new / _SCHEMA))


def _fetch(registry: Registry, version: ModelVersion, into: Path) -> Path:
    try:
        registry.fetch_files(version, into, (manifest.METRICS, _SCHEMA))
    except BundleError as error:
        raise BundleError(str(error).replace(f" in {into}", "").replace(f" of {into}", "")) from None
    return into


def _is_refused(version: ModelVersion) -> bool:
    return any(state.startswith("refused:") for state in _serving_states(version))


def _serving_states(version: ModelVersion) -> list[str]:
    return [state for key, state in version.tags.items() if key.startswith(SERVING_PREFIX)]
