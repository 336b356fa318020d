"""Desired versions: the versions that a model's aliases name in the registry, by role."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from slipway.clients.http import decode
from slipway.clients.mlflow.registry import RegisteredModel
from slipway.contracts.registry_names import CANARY, ROLLOUT, SHADOW


class DesiredVersions(NamedTuple):
    """Version numbers by role; a canary counts once its rollout has given it a weight."""

    champion: str | None
    canary: str | None
    weight: float
    shadow: str | None


def desired_versions(model: RegisteredModel, alias: str) -> DesiredVersions:
    """Read the aliases and the rollout's tag (`{version, weight, stage}`); `alias` is the champion's."""
    canary = model.aliases.get(CANARY)
    weight = _canary_weight(model.tags.get(ROLLOUT, ""), canary)
    return DesiredVersions(model.aliases.get(alias), canary if weight else None, weight, model.aliases.get(SHADOW))


class _Rollout(Struct):
    version: str | int
    weight: Annotated[float, Meta(ge=0, le=100)]


def _canary_weight(tag: str, canary: str | None) -> float:
    """Read the weight from the tag, which anybody may write who may write to the registry: 0 where it holds none."""
    try:
        found = decode(tag.encode(), _Rollout)
    except ValueError:
        return 0.0
    return found.weight if canary and str(found.version) == canary else 0.0
