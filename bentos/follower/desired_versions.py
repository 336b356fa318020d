"""Desired versions: the versions that a model's aliases name in the registry, by role."""

from __future__ import annotations

import json
from typing import NamedTuple

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


def _canary_weight(tag: str, canary: str | None) -> float:
    try:
        content = json.loads(tag)
        return float(content["weight"]) if canary and str(content["version"]) == canary else 0.0
    except (ValueError, TypeError, KeyError):
        return 0.0
