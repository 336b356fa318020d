"""Rollback by hand: a canary is taken back, else the champion's alias goes to the version that had it before."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from monitoring.release.promotion import Promotion, find_model, wait_until_served
from monitoring.release.server_status import ServerStatus, all_server_statuses
from monitoring.rollout import state, transitions
from monitoring.rollout.previous_champion import before, give_back
from monitoring.rollout.state import ROLLED_BACK, RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import RegisteredModel, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.errors import NotFound, ServiceError
from slipway.settings import Settings, settings

_EVERY_SECONDS = 0.5

LookAtAll = Callable[[Sequence[str], str], list[ServerStatus]]


@dataclass(frozen=True)
class Rollback:
    """`version` is refused from now on. Its `alias` is `instead`'s; nobody's where that was `canary`."""

    usecase: str
    version: str
    alias: str
    instead: str | None
    serving: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def roll_back(usecase: str, why: str = "", config: Settings | None = None) -> Rollback:
    """Take back the canary where one runs, else the champion.

    Raises:
        NotFound: no such model, it has no champion, or no version is known that was it before.
    """
    config = config or settings()
    registry = Registry()
    model = find_model(registry, usecase)
    who, why = audit.person(), why or "rolled back by hand"
    if canary := model.aliases.get(CANARY):
        running = transitions.decide(registry, usecase, _running(model, canary), ROLLED_BACK, who=who, why=why)
        transitions.carry_out(registry, usecase, running, config)
        return Rollback(usecase, canary, CANARY, None)
    champion = model.aliases.get(CHAMPION)
    if champion is None:
        raise NotFound(f"{usecase} has no champion to roll back: `slipway promote {usecase} VERSION` sets one.")
    instead = before(registry, usecase, champion, config)
    if instead is None:
        raise NotFound(
            f"no version is known that was the champion of {usecase} before version {champion}, and is not refused: "
            f"name one with `slipway promote {usecase} VERSION`."
        )
    give_back(registry, usecase, champion, instead, who, why, config)
    return Rollback(usecase, champion, CHAMPION, instead)


def wait_until_back(
    done: Rollback, seconds: float, config: Settings | None = None, look_at_all: LookAtAll = all_server_statuses
) -> Rollback:
    """Returns when every worker answers as before. Raises ServiceError when the time is over."""
    config = config or settings()
    if done.instead is not None:
        version = Registry().version(done.usecase, done.instead)
        promoted = wait_until_served(Promotion(version, CHAMPION, done.version, None), seconds, config, look_at_all)
        return replace(done, serving=promoted.serving)
    version, deadline = Registry().version(done.usecase, done.version), time.monotonic() + seconds
    while True:
        looks = look_at_all(config.server_urls, done.usecase)
        left = sum(look.serving(CANARY, version) for look in looks)
        if not left and all(look.served for look in looks):
            return replace(done, serving=sum(len(look.workers) for look in looks))
        if time.monotonic() >= deadline:
            silent = "; ".join(look.error for look in looks if look.error)
            raise ServiceError(f"{left} workers still have version {done.version} as their canary. {silent}".strip())
        time.sleep(_EVERY_SECONDS)


def _running(model: RegisteredModel, canary: str) -> RolloutState:
    """Its rollout, or what stands for one that has not begun."""
    running, now = state.read(model), state.moment(datetime.now(UTC))
    if running is not None and running.version == canary:
        return running
    return RolloutState(canary, 0.0, 0, now, now, model.aliases.get(CHAMPION, ""))
