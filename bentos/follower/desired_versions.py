"""Desired versions: the versions that a model's aliases name in the registry, by role."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from slipway.clients.http import decode
from slipway.clients.mlflow.registry import RegisteredModel
from slipway.contracts.registry_names import CANARY, ROLLOUT, SHADOW
from slipway.serving_state.desired import SALT


class DesiredVersions(NamedTuple):
    """Version numbers by role; a canary counts once its rollout has given it a weight, of the units that `salt` gives
    it.

    `model_created_ms` tells a model from one that was deleted before it and had the same numbers.
    """

    champion: str | None
    canary: str | None
    weight: float
    shadow: str | None
    salt: str = ""
    model_created_ms: int = 0


def desired_versions(model: RegisteredModel, alias: str) -> DesiredVersions:
    """Read the aliases and the rollout's tag (`{version, weight, stage, salt}`); `alias` is the champion's."""
    canary, champion, shadow = (model.aliases.get(name) for name in (CANARY, alias, SHADOW))
    rollout = _rollout(model.tags.get(ROLLOUT, ""), canary)
    if rollout is None or not rollout.weight:
        return DesiredVersions(champion, None, 0.0, shadow, model_created_ms=model.created_ms)
    return DesiredVersions(champion, canary, rollout.weight, shadow, rollout.salt, model.created_ms)


class _Rollout(Struct):
    version: str | int
    weight: Annotated[float, Meta(ge=0, le=100)]
    salt: Annotated[str, Meta(pattern=SALT)] = ""


def _rollout(tag: str, canary: str | None) -> _Rollout | None:
    """Read the tag, which anybody may write who may write to the registry; None where it is not of this canary."""
    try:
        found = decode(tag.encode(), _Rollout)
    except ValueError:
        return None
    return found if canary and str(found.version) == canary else None
