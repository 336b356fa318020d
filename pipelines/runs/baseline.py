"""The baseline of a run: the champion and the frozen holdout that the registry held when the run began."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.clients.mlflow.registry import CHAMPION, Registry
from slipway.errors import NotFound


@dataclass(frozen=True)
class Baseline:
    """What the registry said when the run began; all None for a first training, and for one that is not registered."""

    version: str | None = None
    digest: str | None = None
    holdout_sha256: str | None = None


def observe_baseline(name: str) -> Baseline:
    """The champion and the frozen holdout of now.

    Raises:
        RegistryError: the registry does not answer.
    """
    try:
        model = Registry().model(name)
    except NotFound:
        return Baseline()
    champion = Registry().aliased(name, CHAMPION)
    holdout = model.tags.get("slipway.holdout_sha256")
    return Baseline(champion and champion.version, champion and champion.digest, holdout)


def is_registered(name: str, run_key: str) -> bool:
    """Whether the registry holds the version of that run."""
    return any(version.tags.get("slipway.run_key") == run_key for version in Registry().versions(name))
