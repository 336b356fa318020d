"""`auto_promote`: which challenger becomes the canary without a person."""

from __future__ import annotations

from monitoring.rollout import transitions
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import CHALLENGER, CHAMPION, GATE, REFUSED
from slipway.settings import Settings
from slipway.timestamps import from_ms, parse


def find_candidate(registry: Registry, model: RegisteredModel) -> ModelVersion | None:
    """Find the challenger if its gates passed, it is not refused, and it is newer than the champion."""
    challenger, champion = model.aliases.get(CHALLENGER), model.aliases.get(CHAMPION)
    if challenger is None or champion is None or int(challenger) <= int(champion):
        return None
    version = registry.version(model.name, challenger)
    return version if version.tags.get(GATE) == "passed" and REFUSED not in version.tags else None


def was_canary(version: ModelVersion, config: Settings) -> bool:
    """Whether a rollout of the version has begun before, which is not begun again automatically.

    Lines that are older than the version are about another one that had its number.
    """
    registered = from_ms(version.created_ms)
    return any(
        line.version == version.version and line.action.startswith("canary.") and parse(line.at) >= registered
        for line in transitions.audit_lines(version.name, config)
    )
