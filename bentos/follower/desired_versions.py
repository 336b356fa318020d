"""What the registry asks for: the versions that its aliases name, by role."""

from __future__ import annotations

import json
from typing import NamedTuple

from slipway.clients.mlflow.registry import RegisteredModel
from slipway.contracts.registry_names import CANARY, SHADOW

CANARY_TAG = "slipway.canary"


class DesiredVersions(NamedTuple):
    """The versions that the registry names, by role; a canary counts when the rollout gave it a weight."""

    champion: str | None
    canary: str | None
    weight: float
    shadow: str | None


def desired_versions(model: RegisteredModel, alias: str) -> DesiredVersions:
    """What the aliases and the tag `slipway.canary` = `{version, weight, stage}` ask for; `alias` is the champion's."""
    canary = model.aliases.get(CANARY)
    weight = _weight(model.tags.get(CANARY_TAG, ""), canary)
    return DesiredVersions(model.aliases.get(alias), canary if weight else None, weight, model.aliases.get(SHADOW))


def _weight(tag: str, canary: str | None) -> float:
    try:
        content = json.loads(tag)
        return float(content["weight"]) if canary and str(content["version"]) == canary else 0.0
    except (ValueError, TypeError, KeyError):
        return 0.0
