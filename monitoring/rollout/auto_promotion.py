"""`auto_promote`: which challenger becomes the canary by itself."""

from __future__ import annotations

from monitoring.release.promotion import REFUSED
from monitoring.rollout import transitions
from slipway.clients.mlflow.registry import RegisteredModel, Registry
from slipway.contracts.registry_names import CHALLENGER, CHAMPION
from slipway.settings import Settings

GATE = "slipway.gate"


def candidate(registry: Registry, model: RegisteredModel) -> str | None:
    """The challenger where its gates passed, nobody refused it, and it is newer than the champion."""
    challenger, champion = model.aliases.get(CHALLENGER), model.aliases.get(CHAMPION)
    if challenger is None or champion is None or int(challenger) <= int(champion):
        return None
    tags = registry.version(model.name, challenger).tags
    return challenger if tags.get(GATE) == "passed" and REFUSED not in tags else None


def was_canary(usecase: str, version: str, config: Settings) -> bool:
    """One that was tried, and that a person or the evidence took away, does not come back by itself."""
    return any(
        line.version == version and line.action.startswith("canary.") for line in transitions.lines(usecase, config)
    )
