"""Bundle resolver: finds the bundle of a version or of the champion for commands that run without a follower."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bentos.follower import bundle_store
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.console import say
from slipway.contracts.bundle import manifest
from slipway.contracts.registry_names import CHALLENGER, GATE
from slipway.errors import BundleError, NotFound, RegistryError, suggestion
from slipway.serving_state import desired
from slipway.settings import Settings


def resolve_version(name: str, number: str, settings: Settings) -> Path:
    """Return the directory of the version's server files: in this machine's store already, or fetched into it.

    The registry says which bundle has the number: it comes again when a version is deleted and another registered.
    Where it does not respond, what this machine fetched under that number counts, and a message says so.

    Raises:
        BundleError: the version must not be served, or the store has several bundles with this number.
        RegistryError: the registry does not respond and the store has no such version, or the registry has none.
    """
    registry = Registry(settings.registry_uri)
    try:
        version = registry.version(name, number)
    except NotFound:
        raise NotFound(f"there is no version {number!r} of {name}.{_list_versions(registry, name)}") from None
    except RegistryError as error:
        stored = _stored_under(name, number, settings)
        if stored is None:
            raise
        say(f"warning: {error} Version {number} is the bundle {stored.name[:12]}, as it was when it was fetched.")
        return stored
    return _admit(registry, version, settings)


def resolve_champion(name: str, settings: Settings) -> Path:
    """Return the directory of the bundle that a server of this machine would serve: pointer, then image, then registry.

    Raises:
        BundleError: the bundle must not be served.
        RegistryError: the registry is needed and does not respond, or its alias names no version.
    """
    return resolve_local(name, settings) or resolve_alias(name, settings)


def resolve_alias(name: str, settings: Settings) -> Path:
    """Fetch the version that the registry's alias names now. Raises as `resolve_champion` does."""
    registry = Registry(settings.registry_uri)
    return _admit(registry, aliased_version(registry, name, settings), settings)


def resolve_local(name: str, settings: Settings) -> Path | None:
    """Return the champion's directory on this machine, without a request: the pointer's bundle, or the image's."""
    target = None
    with contextlib.suppress(BundleError):
        target = desired.read(settings.serving, name)
    if target and target.champion and (settings.store / target.champion).is_dir():
        return settings.store / target.champion
    packaged = settings.packaged / name if settings.packaged else None
    return packaged if packaged and packaged.is_dir() else None


def aliased_version(registry: Registry, name: str, settings: Settings) -> ModelVersion:
    """Return the version that the alias names. Raises NotFound, with the command to run, where it names none."""
    try:
        found = registry.aliased(name, settings.follow_alias)
    except NotFound:
        known = [model.name for model in registry.models()]
        hint = f"{suggestion(name, known)} To train it: slipway train {name}"
        raise NotFound(f"the registry {registry.uri} has no model {name!r}.{hint}") from None
    if found is None:
        raise NotFound(f"{name} has no {settings.follow_alias} yet. {_advice(registry, name, settings)}")
    return found


def _stored_under(name: str, number: str, settings: Settings) -> Path | None:
    """Find the complete bundle that was fetched as this version; None without any."""
    found = []
    for path in settings.store.glob("*/version.json"):
        with contextlib.suppress(BundleError):
            stored = desired.stored_version(path.parent)
            if stored and (stored.name, stored.version) == (name, number):
                manifest.verify(path.parent, stored.digest, serving_only=True)
                found.append(path.parent)
    if len(found) > 1:
        paths = ", ".join(map(str, sorted(found)))
        raise BundleError(f"several bundles were version {number} of {name}: name one with --bundle: {paths}.")
    return found[0] if found else None


def _advice(registry: Registry, name: str, settings: Settings) -> str:
    versions = registry.versions(name)
    passed = [version.version for version in versions if version.tags.get(GATE) == "passed"]
    if not passed:
        reason = f"None of its {len(versions)} versions passed its gates" if versions else "It has no version"
        return f"{reason}. To train one: slipway train {name}"
    best = registry.model(name).aliases.get(CHALLENGER, passed[0])
    alias = "" if settings.follow_alias == "champion" else f" --alias {settings.follow_alias}"
    return f"To promote version {best}: slipway promote {name} {best}{alias}"


def _admit(registry: Registry, version: ModelVersion, settings: Settings) -> Path:
    try:
        return settings.store / bundle_store.admit(registry, version, settings.store).digest
    except BundleError as error:
        raise type(error)(f"{version.name} version {version.version} is refused: {error}") from None


def _list_versions(registry: Registry, name: str) -> str:
    try:
        numbers = [version.version for version in registry.versions(name)]
    except RegistryError:
        return ""
    return f" There are: {', '.join(numbers)}." if numbers else f" It has none. To train one: slipway train {name}"
