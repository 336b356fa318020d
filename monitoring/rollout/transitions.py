"""How a rollout ends, step by step: whatever ends this process between two of them, the next pass does the rest.

The outcome is in the tag before anything follows from it, and the tag goes last. In between nobody is without a
champion: its alias is set, never removed.
"""

from __future__ import annotations

import contextlib

import msgspec

from monitoring.release.promotion import REFUSED
from monitoring.rollout import state
from monitoring.rollout.state import ENDED, FINISHED, ROLLED_BACK, RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.errors import DataError, NotFound
from slipway.settings import Settings

TAKEN_BACK = "taken back by "
ROLLOUT = "slipway rollout"  # who, in the audit


def write(registry: Registry, usecase: str, running: RolloutState) -> RolloutState:
    registry.set_model_tag(usecase, state.TAG, state.written(running))
    return running


def decide(registry: Registry, usecase: str, running: RolloutState, outcome: str, **told: object) -> RolloutState:
    """Put down how it ends. A rollback's weight of 0 takes the canary from the servers by this one request."""
    weight = running.weight if outcome == FINISHED else 0.0
    return write(registry, usecase, msgspec.structs.replace(running, outcome=outcome, weight=weight, **told))


def carry_out(registry: Registry, usecase: str, running: RolloutState, config: Settings) -> None:
    """Everything that follows from the outcome; done twice, it is as done once."""
    aliases = registry.model(usecase).aliases
    if running.outcome == FINISHED and aliases.get(CHAMPION) == running.champion:
        registry.set_alias(usecase, CHAMPION, running.version)
    if running.outcome == ROLLED_BACK:
        with contextlib.suppress(NotFound):
            registry.set_version_tag(usecase, running.version, REFUSED, f"{TAKEN_BACK}{running.who}: {running.why}")
    if aliases.get(CANARY) == running.version:
        registry.delete_alias(usecase, CANARY)
    tell(usecase, f"canary.{running.outcome}", running, config, _moved(running, aliases))
    registry.delete_model_tag(usecase, state.TAG)


def tell(
    usecase: str, action: str, running: RolloutState, config: Settings, moved: list[dict[str, str | None]] | None = None
) -> None:
    """The audit line, once for each rollout and stage."""
    evidence = {"began": running.began, "stage": running.stage, "weight": running.weight} | running.evidence
    for line in lines(usecase, config):
        same = (line.evidence.get("began"), line.evidence.get("stage")) == (running.began, running.stage)
        if line.action == action and line.version == running.version and same:
            return
    if moved:
        evidence["moved"] = moved
    audit.append(
        usecase,
        action,
        who=running.who or ROLLOUT,
        why=running.why,
        version=running.version,
        evidence=evidence,
        config=config,
    )


def lines(usecase: str, config: Settings) -> list[audit.AuditLine]:
    """The audit's, or none where one was changed: that is for the history to say, and holds up no rollback."""
    try:
        return audit.lines(usecase, config)
    except DataError:
        return []


def _moved(running: RolloutState, before: dict[str, str]) -> list[dict[str, str | None]]:
    """The aliases as they go, for whoever asks who moved them."""
    found: list[dict[str, str | None]] = []
    if running.outcome == FINISHED:
        found.append({"alias": CHAMPION, "from": running.champion, "to": running.version})
    if running.outcome != ENDED or before.get(CANARY) == running.version:
        found.append({"alias": CANARY, "from": running.version, "to": None})
    return found
