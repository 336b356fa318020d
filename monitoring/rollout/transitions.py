"""Transitions of a rollout to its outcome: if this process ends between two steps, the next pass does the rest.

The outcome is written into the tag first, and the tag is removed last. There is a champion all the time: its alias is
set, never removed.
"""

from __future__ import annotations

import contextlib

import msgspec

from monitoring.rollout import state
from monitoring.rollout.state import ENDED, FINISHED, ROLLED_BACK, RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts import registry_names
from slipway.contracts.registry_names import CANARY, CHAMPION, REFUSED
from slipway.errors import DataError, NotFound
from slipway.settings import Settings

TAKEN_BACK = "taken back by "
ROLLOUT = "slipway rollout"  # `who` in the audit


def save(registry: Registry, usecase: str, running: RolloutState) -> RolloutState:
    """Write the state into the model's tag."""
    registry.set_model_tag(usecase, registry_names.ROLLOUT, state.encode(running))
    return running


def decide(registry: Registry, usecase: str, running: RolloutState, outcome: str, **facts: object) -> RolloutState:
    """Write the outcome. The weight of 0 of a rollback stops the canary on the servers by this one request."""
    weight = running.weight if outcome == FINISHED else 0.0
    return save(registry, usecase, msgspec.structs.replace(running, outcome=outcome, weight=weight, **facts))


def carry_out(registry: Registry, usecase: str, running: RolloutState, config: Settings) -> None:
    """Carry out the outcome; idempotent. Another version that has the canary's number by now is left alone."""
    aliases = registry.model(usecase).aliases
    is_same = is_same_version(registry, usecase, running)
    if not is_same:
        aliases.pop(CANARY, None)
    if running.outcome == FINISHED and aliases.get(CHAMPION) == running.champion:
        registry.set_alias(usecase, CHAMPION, running.version)
    if running.outcome == ROLLED_BACK and is_same:
        with contextlib.suppress(NotFound):
            registry.set_version_tag(usecase, running.version, REFUSED, f"{TAKEN_BACK}{running.who}: {running.why}")
    if aliases.get(CANARY) == running.version:
        registry.delete_alias(usecase, CANARY)
    record(usecase, f"canary.{running.outcome}", running, config, _moved(running, aliases))
    registry.delete_model_tag(usecase, registry_names.ROLLOUT)


def record(
    usecase: str, action: str, running: RolloutState, config: Settings, moved: list[dict[str, str | None]] | None = None
) -> None:
    """Write the audit line, once for each rollout and stage."""
    evidence = {"began": running.began, "stage": running.stage, "weight": running.weight} | running.evidence
    for line in audit_lines(usecase, config):
        is_same = (line.evidence.get("began"), line.evidence.get("stage")) == (running.began, running.stage)
        if line.action == action and line.version == running.version and is_same:
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


def audit_lines(usecase: str, config: Settings) -> list[audit.AuditLine]:
    """Read the audit; empty where a line was changed, which the history reports and which must not stop a rollback."""
    try:
        return audit.lines(usecase, config)
    except DataError:
        return []


def is_same_version(registry: Registry, usecase: str, running: RolloutState) -> bool:
    """Whether the canary's number still means the rollout's bundle, or nothing."""
    try:
        return not running.digest or registry.version(usecase, running.version).digest == running.digest
    except NotFound:
        return True


def _moved(running: RolloutState, before: dict[str, str]) -> list[dict[str, str | None]]:
    """The alias changes of the outcome, for the audit."""
    found: list[dict[str, str | None]] = []
    if running.outcome == FINISHED:
        found.append({"alias": CHAMPION, "from": running.champion, "to": running.version})
    if running.outcome != ENDED or before.get(CANARY) == running.version:
        found.append({"alias": CANARY, "from": running.version, "to": None})
    return found
