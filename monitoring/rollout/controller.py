"""Controller of the rollouts: one pass starts a use case's rollout, ends it, or takes its stage on."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from monitoring.release.reconciler import ALIAS_ENVIRONMENTS
from monitoring.rollout import previous_champion, state, transitions
from monitoring.rollout.auto_promotion import find_candidate, was_canary
from monitoring.rollout.policy import Policy, load_policy_or_default
from monitoring.rollout.stage import StageRunner
from monitoring.rollout.state import ENDED, FINISHED, RolloutState
from monitoring.rollout.view import RolloutView, RolloutViews
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION, FIRST_WEIGHT, REFUSED, serving_tag
from slipway.errors import NotFound, RegistryError, SlipwayError
from slipway.prediction_log import Log
from slipway.settings import Settings
from slipway.timestamps import iso

_log = logging.getLogger("slipway.watch")


class RolloutController:
    """The rollouts of this environment, if it is one that moves aliases; elsewhere they belong to production.

    Everything that must outlast this process is in the registry and the log. `once` raises no error that may pass.
    """

    def __init__(
        self,
        config: Settings,
        registry: Registry,
        log: Log | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._registry = registry
        self._now = now
        self._moves_aliases = config.environment in ALIAS_ENVIRONMENTS
        self._tried: set[tuple[str, str, str | None]] = set()
        self._views = RolloutViews(config)
        self.stages = StageRunner(config, registry, log or Log(config), self._views, now)

    def once(self, usecase: str) -> RolloutView:
        """Take one pass over the use case's rollout."""
        if not self._moves_aliases:
            return RolloutView()
        try:
            view = self._pass(usecase)
        except NotFound:
            view = RolloutView()  # no such model in the registry, not yet or no more
        except RegistryError as error:
            view = self._views.waiting(usecase, str(error))
        except (SlipwayError, OSError) as error:
            view = self._views.waiting(usecase, f"the audit cannot be written: {error}")
        return self._views.keep(usecase, view)

    def _pass(self, usecase: str) -> RolloutView:
        model = self._registry.model(usecase)
        running = state.read(model)
        if running is not None:
            running = self._end_if_over(usecase, model, running)
            model = self._registry.model(usecase) if running is None else model
        canary, champion = model.aliases.get(CANARY), model.aliases.get(CHAMPION)
        policy, warning = load_policy_or_default(usecase)
        if champion is not None:
            previous_champion.resume(self._registry, usecase, champion, self._config)
        if canary is None:
            return self._begin_automatically(usecase, model, policy)
        if champion is None:
            return self._views.idle(usecase, f"version {canary} is the canary, and waits until there is a champion.")
        if running is None:
            return self._begin(usecase, canary, champion, policy)
        self.stages.record(usecase, running)
        return self.stages.step(usecase, running, policy, warning)

    def _end_if_over(self, usecase: str, model: RegisteredModel, running: RolloutState) -> RolloutState | None:
        """The rollout as it goes on; None where it has an outcome, which is carried out, or a person ended it."""
        canary, champion = model.aliases.get(CANARY), model.aliases.get(CHAMPION)
        version = self._version(usecase, running.version)
        outcome = running.outcome
        if outcome == FINISHED and champion != running.version and not _may_finish(running, champion, version):
            outcome = ""
        if not outcome:
            why = self._why_it_ended(usecase, running, canary, champion, version)
            if not why:
                return running
            running = transitions.decide(self._registry, usecase, running, ENDED, why=why, who=audit.UNKNOWN)
        transitions.carry_out(self._registry, usecase, running, self._config)
        _log.info("%s: the rollout of version %s ended: %s", usecase, running.version, running.why or running.outcome)
        return None

    def _why_it_ended(
        self,
        usecase: str,
        running: RolloutState,
        canary: str | None,
        champion: str | None,
        version: ModelVersion | None,
    ) -> str:
        """The change in the registry that ends the rollout; empty where it goes on."""
        if version is None:
            return f"version {running.version} is gone from the registry"
        if running.digest and version.digest != running.digest:
            return f"version {running.version} is another one now: it was deleted, and its number came again"
        if reason := version.tags.get(REFUSED):
            return f"version {running.version} carries the tag {REFUSED}: {reason}"
        if canary is None:
            served = version.tags.get(serving_tag(self._config.environment), "")
            return served if served.startswith("refused") else f"the alias {CANARY} was removed"
        if canary != running.version:
            return f"the alias {CANARY} was moved to version {canary}"
        if champion == running.version:
            return f"version {running.version} was made the champion"
        if champion != running.champion:
            return f"the alias {CHAMPION} was moved from version {running.champion} to {champion or 'none'}"
        if running.champion_digest and self._digest(usecase, running.champion) != running.champion_digest:
            return f"version {running.champion}, the champion, is another one now: its number came again"
        return ""

    def _begin(self, usecase: str, canary: str, champion: str, policy: Policy) -> RolloutView:
        version = self._version(usecase, canary)
        if version is None or canary == champion or REFUSED in version.tags:
            return self._reject(usecase, canary, version)
        now = iso(self._now())
        weight = _first_weight(version) or float(policy.canary.stages[0])
        digests = {"digest": version.digest or "", "champion_digest": self._digest(usecase, champion)}
        running = RolloutState(canary, weight, 1, now, now, champion, weight, secrets.token_hex(16), **digests)
        transitions.save(self._registry, usecase, running)
        if FIRST_WEIGHT in version.tags:
            self._registry.delete_version_tag(usecase, canary, FIRST_WEIGHT)
        self.stages.record(usecase, running)
        _log.info("%s: version %s is the canary, at %g %%", usecase, canary, weight)
        return self._views.running(usecase, running, policy, "has begun.")

    def _reject(self, usecase: str, canary: str, version: ModelVersion | None) -> RolloutView:
        """Remove the alias `canary` from a version that no rollout can begin with."""
        self._registry.delete_alias(usecase, CANARY)
        refused = version and version.tags.get(REFUSED)
        why = f"it carries the tag {REFUSED}: {refused}" if refused else "it is the champion already"
        message = f"the alias {CANARY} was removed from version {canary}: {why if version else 'it is gone'}"
        evidence = {"alias": CANARY, "from": canary, "to": None}
        facts = {"who": transitions.ROLLOUT, "why": message, "version": canary, "evidence": evidence}
        audit.append(usecase, f"canary.{ENDED}", config=self._config, **facts)
        return self._views.idle(usecase, message)

    def _begin_automatically(self, usecase: str, model: RegisteredModel, policy: Policy) -> RolloutView:
        """With `auto_promote`, make an untried challenger the canary; the next pass begins its rollout."""
        found = find_candidate(self._registry, model) if policy.auto_promote else None
        if found is None or (usecase, found.version, found.digest) in self._tried:
            return self._views.idle(usecase)
        if was_canary(found, self._config):
            self._tried.add((usecase, found.version, found.digest))
            return self._views.idle(usecase)
        number, why = found.version, "auto_promote: the newest version that passed its gates"
        evidence = {"alias": CANARY, "from": None, "to": number}
        facts = {"who": transitions.ROLLOUT, "why": why, "version": number, "evidence": evidence}
        audit.append(usecase, "promoted", config=self._config, **facts)
        self._registry.set_alias(usecase, CANARY, number)
        return self._views.idle(usecase, f"version {number} becomes the canary: {why}.")

    def _version(self, usecase: str, number: str) -> ModelVersion | None:
        try:
            return self._registry.version(usecase, number)
        except NotFound:
            return None

    def _digest(self, usecase: str, number: str) -> str:
        version = self._version(usecase, number)
        return (version.digest or "") if version else ""


def _may_finish(running: RolloutState, champion: str | None, version: ModelVersion | None) -> bool:
    """Whether nobody has moved the champion, or refused the version, since the outcome was decided."""
    if champion != running.champion or version is None or REFUSED in version.tags:
        return False
    return not running.digest or version.digest == running.digest


def _first_weight(version: ModelVersion) -> float | None:
    """The weight that a person set for the first stage; None where there is none, or the tag is no percentage."""
    try:
        weight = float(version.tags.get(FIRST_WEIGHT, ""))
    except ValueError:
        return None
    return weight if 0 < weight < 100 else None
