"""`auto_promote`: which challenger becomes the canary without a person."""

from __future__ import annotations

from monitoring.rollout import transitions
from slipway.clients.mlflow.registry import RegisteredModel, Registry
from slipway.contracts.registry_names import CHALLENGER, CHAMPION, GATE, REFUSED
from slipway.settings import Settings


def find_candidate(registry: Registry, model: RegisteredModel) -> str | None:
    """Find the challenger if its gates passed, it is not refused, and it is newer than the champion."""
    challenger, champion = model.aliases.get(CHALLENGER), model.aliases.get(CHAMPION)
    if challenger is None or champion is None or int(challenger) <= int(champion):
        return None
    tags = registry.version(model.name, challenger).tags
    return challenger if tags.get(GATE) == "passed" and REFUSED not in tags else None


def was_canary(usecase: str, version: str, config: Settings) -> bool:
    """Whether a rollout of the version has begun before, which is not begun again automatically."""
    return any(
        line.version == version and line.action.startswith("canary.")
        for line in transitions.audit_lines(usecase, config)
    )
