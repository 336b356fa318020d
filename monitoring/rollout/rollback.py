"""Rollback by command: of the canary, else of the champion, whose alias goes to the previous version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from monitoring.release.promotion import Promotion, find_model, wait_until_served
from monitoring.release.server_status import PollServers, ServerStatus, all_server_statuses, wait_until
from monitoring.rollout import state, transitions
from monitoring.rollout.previous_champion import ChampionRollback, find_previous, restore
from monitoring.rollout.state import ROLLED_BACK, RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import RegisteredModel, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.errors import NotFound
from slipway.settings import Settings, settings
from slipway.timestamps import iso


@dataclass(frozen=True)
class Rollback:
    """Result of a rollback: `version` is refused from now on.

    Its `alias` belongs to `instead`, which is None for a canary. `serving` counts the workers that were waited for.
    """

    usecase: str
    version: str
    alias: str
    instead: str | None
    serving: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def roll_back(usecase: str, why: str = "", config: Settings | None = None) -> Rollback:
    """Roll back the canary where one runs, else the champion.

    Raises:
        NotFound: no such model, it has no champion, or no previous champion is known.
    """
    config = config or settings()
    registry = Registry()
    model = find_model(registry, usecase)
    who, why = audit.person(), why or "rolled back by hand"
    if canary := model.aliases.get(CANARY):
        running = transitions.decide(
            registry, usecase, _running(registry, model, canary), ROLLED_BACK, who=who, why=why
        )
        transitions.carry_out(registry, usecase, running, config)
        return Rollback(usecase, canary, CANARY, None)
    champion = model.aliases.get(CHAMPION)
    if champion is None:
        raise NotFound(f"{usecase} has no champion to roll back: `slipway promote {usecase} VERSION` sets one.")
    instead = find_previous(registry, usecase, champion, config)
    if instead is None:
        raise NotFound(
            f"no previous champion of {usecase} is known that is not refused: "
            f"choose a version with `slipway promote {usecase} VERSION`."
        )
    restore(registry, ChampionRollback(usecase, champion, instead, who, why), config)
    return Rollback(usecase, champion, CHAMPION, instead)


def wait_until_back(
    done: Rollback, seconds: float, config: Settings | None = None, poll: PollServers = all_server_statuses
) -> Rollback:
    """Return when no worker serves the version that was rolled back. Raises ServiceError when the time is over."""
    config = config or settings()
    if done.instead is not None:
        version = Registry().version(done.usecase, done.instead)
        promoted = wait_until_served(Promotion(version, CHAMPION, done.version, None), seconds, config, poll)
        return replace(done, serving=promoted.serving)
    version = Registry().version(done.usecase, done.version)

    def remaining(statuses: Sequence[ServerStatus]) -> int:
        return sum(status.serving(CANARY, version) for status in statuses)

    def describe(statuses: Sequence[ServerStatus]) -> str:
        errors = "; ".join(status.error for status in statuses if status.error)
        return f"{remaining(statuses)} workers still have version {done.version} as their canary. {errors}".strip()

    workers = wait_until(
        lambda: poll(config.server_urls, done.usecase),
        seconds,
        lambda statuses: not remaining(statuses) and all(status.served for status in statuses),
        describe,
    )
    return replace(done, serving=workers)


def _running(registry: Registry, model: RegisteredModel, canary: str) -> RolloutState:
    """State of the canary's rollout, or a new one where it has not begun, or was of another bundle: whatever has the
    alias is rolled back."""
    running, now = state.read(model), iso(datetime.now(UTC))
    if running and running.version == canary and transitions.is_same_version(registry, model.name, running):
        return running
    return RolloutState(canary, 0.0, 0, now, now, model.aliases.get(CHAMPION, ""))
