"""Baseline of a run: the champion and the frozen holdout that the registry had when the run began."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CHAMPION, HOLDOUT_SHA256, RUN_KEY
from slipway.errors import NotFound


@dataclass(frozen=True)
class Baseline:
    """Champion and frozen holdout; all None for a first training, and for one that is not registered."""

    version: str | None = None
    digest: str | None = None
    holdout_sha256: str | None = None


def observe_baseline(name: str) -> Baseline:
    """Read the present champion and frozen holdout from the registry.

    Raises:
        RegistryError: the registry does not respond.
    """
    try:
        model = Registry().model(name)
    except NotFound:
        return Baseline()
    champion = Registry().aliased(name, CHAMPION)
    holdout = model.tags.get(HOLDOUT_SHA256)
    if champion is None:
        return Baseline(holdout_sha256=holdout)
    return Baseline(champion.version, champion.digest, holdout)


def is_registered(name: str, run_key: str) -> bool:
    """Return whether the registry has the version of that run."""
    return any(version.tags.get(RUN_KEY) == run_key for version in Registry().versions(name))
