"""Choose the bundle where no follower does: a version's, the champion's, or what to do where there is none."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bentos.follower import bundle_store
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest
from slipway.contracts.registry_names import CHALLENGER
from slipway.errors import BundleError, NotFound, RegistryError, suggestion
from slipway.serving_state import desired
from slipway.settings import Settings

GATE = "slipway.gate"


def of_version(name: str, number: str, settings: Settings) -> Path:
    """The version's server files: from this machine's store, without a registry, else fetched.

    Raises:
        BundleError: it must not be served.
        RegistryError: the registry is needed and does not answer, or knows no such version.
    """
    for path in settings.store.glob("*/version.json"):
        with contextlib.suppress(BundleError):
            stored = desired.stored_version(path.parent)
            if stored and (stored.name, stored.version) == (name, number):
                manifest.verify(path.parent, stored.digest, serving_only=True)
                return path.parent
    registry = Registry(settings.registry_uri)
    try:
        return _admitted(registry, registry.version(name, number), settings)
    except NotFound:
        raise NotFound(f"there is no version {number!r} of {name}.{_known(registry, name)}") from None


def champion(name: str, settings: Settings) -> Path:
    """What a server of this machine would answer from: the pointer's, else the image's, else the registry's choice.

    Raises:
        BundleError: it must not be served.
        RegistryError: the registry is needed and does not answer, or names no version; says which to promote.
    """
    return local(name, settings) or current(name, settings)


def current(name: str, settings: Settings) -> Path:
    """The server files of the version that the registry's alias names now. Raises as `champion` does."""
    registry = Registry(settings.registry_uri)
    return _admitted(registry, named(registry, name, settings), settings)


def local(name: str, settings: Settings) -> Path | None:
    """What this machine has of the champion without asking anybody: the pointer's bundle, or the image's."""
    pointed = None
    with contextlib.suppress(BundleError):
        pointed = desired.read(settings.serving, name)
    if pointed and pointed.champion and (settings.store / pointed.champion).is_dir():
        return settings.store / pointed.champion
    packaged = settings.packaged / name if settings.packaged else None
    return packaged if packaged and packaged.is_dir() else None


def named(registry: Registry, name: str, settings: Settings) -> ModelVersion:
    """The version that the alias names; raises NotFound that says what to run where it names none."""
    try:
        found = registry.aliased(name, settings.follow_alias)
    except NotFound:
        known = [model.name for model in registry.models()]
        hint = f"{suggestion(name, known)} To train it: slipway train {name}"
        raise NotFound(f"the registry {registry.uri} has no model {name!r}.{hint}") from None
    if found is None:
        raise NotFound(f"{name} has no {settings.follow_alias} yet. {_advice(registry, name, settings)}")
    return found


def _advice(registry: Registry, name: str, settings: Settings) -> str:
    versions = registry.versions(name)
    passed = [version.version for version in versions if version.tags.get(GATE) == "passed"]
    if not passed:
        came = f"none of its {len(versions)} versions passed its gates" if versions else "it has no version"
        return f"And {came}: slipway train {name}"
    best = registry.model(name).aliases.get(CHALLENGER, passed[0])
    alias = "" if settings.follow_alias == "champion" else f" --alias {settings.follow_alias}"
    return f"Make its version {best} the one: slipway promote {name} {best}{alias}"


def _admitted(registry: Registry, version: ModelVersion, settings: Settings) -> Path:
    try:
        return settings.store / bundle_store.admit(registry, version, settings.store).digest
    except BundleError as error:
        raise type(error)(f"{version.name} version {version.version} is refused: {error}") from None


def _known(registry: Registry, name: str) -> str:
    try:
        numbers = [version.version for version in registry.versions(name)]
    except RegistryError:
        return ""
    return f" There are: {', '.join(numbers)}." if numbers else f" It has none: slipway train {name}"
