"""One pass over a use case's rollout: begin it, look at the evidence, and go on, back, or to champion."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from monitoring.release.promotion import FIRST_WEIGHT, REFUSED
from monitoring.release.reconciler import HOMES_OF_THE_ALIAS
from monitoring.rollout import state, transitions
from monitoring.rollout.auto_promotion import candidate, was_canary
from monitoring.rollout.decision import HARMFUL, Progress, TestResult, judge, missing, move, needs_proof, unproven
from monitoring.rollout.evidence import Evidence, gather
from monitoring.rollout.policy import Policy, policy_or_default
from monitoring.rollout.previous_champion import complete
from monitoring.rollout.state import ENDED, FINISHED, ROLLED_BACK, RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.errors import NotFound, RegistryError, SlipwayError
from slipway.prediction_log import Log
from slipway.settings import Settings

REST = 4.0  # times as long as a look at the log took: a long rollout's log never keeps the watch busy
_MOST_FINDINGS = 12  # of those that go with an outcome into a tag, which holds 5,000 characters
_log = logging.getLogger("slipway.watch")


@dataclass(frozen=True)
class RolloutView:
    """A rollout at a glance. Without a version none runs; `rolled_back` counts all canaries that were taken back, the
    last of them at `rolled_back_at` (ISO 8601)."""

    rolled_back: int = 0
    rolled_back_at: str = ""
    version: str | None = None
    champion: str | None = None
    weight: float = 0.0
    stage: int = 0
    stages: list[float] = field(default_factory=list)
    since: str = ""
    began: str = ""
    findings: list[TestResult] = field(default_factory=list)
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class RolloutController:
    """The rollouts of this environment, where it is one that moves aliases; elsewhere they are production's.

    All that must outlast this process is in the registry and the log. `once` raises nothing that passes.
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
        self._log = log or Log(config)
        self._now = now
        self._moves = config.environment in HOMES_OF_THE_ALIAS
        self._rolled_back: dict[str, tuple[int, str]] = {}
        self._told: set[tuple[str, str, int]] = set()
        self._tried: set[tuple[str, str]] = set()
        self._last: dict[str, RolloutView] = {}
        self._look_at: dict[str, float] = {}

    def once(self, usecase: str) -> RolloutView:
        if not self._moves:
            return RolloutView()
        try:
            view = self._pass(usecase)
        except NotFound:
            view = RolloutView()  # nothing of it is registered yet, or no more
        except RegistryError as error:
            view = self._waits(usecase, str(error))
        except (SlipwayError, OSError) as error:
            view = self._waits(usecase, f"the audit cannot be written: {error}")
        self._last[usecase] = view
        return view

    def _pass(self, usecase: str) -> RolloutView:
        model = self._registry.model(usecase)
        running = state.read(model)
        if running is not None:
            running = self._ended(usecase, model, running)
            model = self._registry.model(usecase) if running is None else model
        canary, champion = model.aliases.get(CANARY), model.aliases.get(CHAMPION)
        policy, trouble = policy_or_default(usecase)
        if champion is not None:
            complete(self._registry, usecase, champion, self._config)
        if canary is None:
            return self._begin_automatically(usecase, model, policy)
        if champion is None:
            return self._view(
                usecase, said=f"version {canary} is the canary, and waits for a champion to stand beside."
            )
        if running is None:
            return self._begin(usecase, canary, champion, policy)
        self._tell(usecase, running)
        return self._step(usecase, running, policy, trouble)

    def _ended(self, usecase: str, model: RegisteredModel, running: RolloutState) -> RolloutState | None:
        """The rollout as it goes on; None where it has an outcome, which is carried out, or somebody ended it."""
        canary, champion = model.aliases.get(CANARY), model.aliases.get(CHAMPION)
        version = self._version(usecase, running.version)
        outcome = running.outcome
        if outcome == FINISHED and champion != running.version and not _may_finish(running, champion, version):
            outcome = ""
        if not outcome:
            why = self._why_it_ended(running, canary, champion, version)
            if not why:
                return running
            running = transitions.decide(self._registry, usecase, running, ENDED, why=why, who=audit.UNKNOWN)
        transitions.carry_out(self._registry, usecase, running, self._config)
        _log.info("%s: the rollout of version %s ended: %s", usecase, running.version, running.why or running.outcome)
        return None

    def _why_it_ended(
        self, running: RolloutState, canary: str | None, champion: str | None, version: ModelVersion | None
    ) -> str:
        """What somebody else did that ends it; nothing where it goes on."""
        if version is None:
            return f"version {running.version} is gone from the registry"
        if reason := version.tags.get(REFUSED):
            return f"version {running.version} carries the tag {REFUSED}: {reason}"
        if canary is None:
            served = version.tags.get(f"slipway.serving.{self._config.environment}", "")
            return served if served.startswith("refused") else f"the alias {CANARY} was removed"
        if canary != running.version:
            return f"the alias {CANARY} was moved to version {canary}"
        if champion == running.version:
            return f"version {running.version} was made the champion"
        if champion != running.champion:
            return f"the alias {CHAMPION} was moved from version {running.champion} to {champion or 'none'}"
        return ""

    def _begin(self, usecase: str, canary: str, champion: str, policy: Policy) -> RolloutView:
        version = self._version(usecase, canary)
        if version is None or canary == champion or REFUSED in version.tags:
            self._registry.delete_alias(usecase, CANARY)
            refused = version and version.tags.get(REFUSED)
            why = f"it carries the tag {REFUSED}: {refused}" if refused else "it is the champion already"
            said = f"the alias {CANARY} was taken from version {canary}: {why if version else 'it is gone'}"
            evidence = {"alias": CANARY, "from": canary, "to": None}
            told = {"who": transitions.ROLLOUT, "why": said, "version": canary, "evidence": evidence}
            audit.append(usecase, f"canary.{ENDED}", config=self._config, **told)
            return self._view(usecase, said=said)
        now = state.moment(self._now())
        weight = _asked(version) or float(policy.canary.stages[0])
        running = RolloutState(canary, weight, 1, now, now, champion, first=weight)
        transitions.write(self._registry, usecase, running)
        if FIRST_WEIGHT in version.tags:
            self._registry.delete_version_tag(usecase, canary, FIRST_WEIGHT)
        self._tell(usecase, running)
        _log.info("%s: version %s is the canary, at %g %%", usecase, canary, weight)
        return self._view(usecase, running, policy, said="has begun.")

    def _begin_automatically(self, usecase: str, model: RegisteredModel, policy: Policy) -> RolloutView:
        """With `auto_promote`, a challenger that was not tried yet becomes the canary; the next pass begins with it."""
        found = candidate(self._registry, model) if policy.auto_promote else None
        if found is None or (usecase, found) in self._tried:
            return self._view(usecase)
        if was_canary(usecase, found, self._config):
            self._tried.add((usecase, found))
            return self._view(usecase)
        why = "auto_promote: the newest version that passed its gates"
        evidence = {"alias": CANARY, "from": None, "to": found}
        audit.append(
            usecase, "promoted", who=transitions.ROLLOUT, why=why, version=found, evidence=evidence, config=self._config
        )
        self._registry.set_alias(usecase, CANARY, found)
        return self._view(usecase, said=f"version {found} becomes the canary: {why}.")

    def _step(self, usecase: str, running: RolloutState, policy: Policy, trouble: str) -> RolloutView:
        last = self._last.get(usecase)
        if last and last.began == running.began and time.monotonic() < self._look_at.get(usecase, 0.0):
            return last
        began = time.monotonic()
        try:
            evidence = self._gather(usecase, running, policy)
        except OSError as error:
            return self._view(usecase, running, policy, said=f"waits: the log cannot be read: {error}")
        self._look_at[usecase] = time.monotonic() + REST * (time.monotonic() - began)
        findings = judge(evidence, policy)
        minutes = running.minutes(self._now())
        progress = Progress(running.weight, evidence.predictions, minutes, evidence.labelled)
        harmful = any(finding.verdict == HARMFUL for finding in findings)
        what = move(policy, progress, harmful, unproven(findings))
        if what == "back":
            return self._take_back(usecase, running, findings)
        if what == "on":
            return self._go_on(usecase, running, policy, findings)
        if what == "finish":
            return self._finish(usecase, running, findings)
        waits = missing(policy, progress, unproven(findings))
        said = " ".join(filter(None, [f"waits for {', '.join(waits)}." if waits else "", trouble]))
        return self._view(usecase, running, policy, findings, said)

    def _gather(self, usecase: str, running: RolloutState, policy: Policy) -> Evidence:
        """Raises OSError, whatever it is that keeps the log from being read."""
        import duckdb

        try:
            return gather(self._log, usecase, running, policy)
        except (SlipwayError, duckdb.Error) as error:
            raise OSError(str(error)) from error

    def _take_back(self, usecase: str, running: RolloutState, findings: list[TestResult]) -> RolloutView:
        why = "; ".join(finding.sentence for finding in findings if finding.verdict == HARMFUL)
        told = {"why": why, "who": transitions.ROLLOUT, "evidence": _kept(findings)}
        running = transitions.decide(self._registry, usecase, running, ROLLED_BACK, **told)
        _log.warning("%s: version %s is taken back: %s", usecase, running.version, why)
        transitions.carry_out(self._registry, usecase, running, self._config)
        self._rolled_back.pop(usecase, None)
        return self._view(usecase, said=f"version {running.version} was taken back: {why}.")

    def _go_on(self, usecase: str, running: RolloutState, policy: Policy, findings: list[TestResult]) -> RolloutView:
        now, weight = state.moment(self._now()), float(policy.next_stage(running.weight) or running.weight)
        running = msgspec.structs.replace(running, stage=running.stage + 1, weight=weight, since=now)
        transitions.write(self._registry, usecase, running)
        self._look_at.pop(usecase, None)
        self._tell(usecase, running, _kept(findings))
        _log.info("%s: version %s goes on to %g %%", usecase, running.version, weight)
        return self._view(usecase, running, policy, findings, f"goes on to {weight:g} %.")

    def _finish(self, usecase: str, running: RolloutState, findings: list[TestResult]) -> RolloutView:
        why = f"every stage passed; shown to be safe: {', '.join(f.test for f in findings if needs_proof(f.test))}"
        told = {"why": why, "who": transitions.ROLLOUT, "evidence": _kept(findings)}
        running = transitions.decide(self._registry, usecase, running, FINISHED, **told)
        transitions.carry_out(self._registry, usecase, running, self._config)
        _log.info("%s: version %s is the champion: %s", usecase, running.version, why)
        return self._view(usecase, said=f"version {running.version} became the champion: {why}.")

    def _tell(self, usecase: str, running: RolloutState, evidence: dict[str, Any] | None = None) -> None:
        """The audit's lines of the begin and of this stage: once, also where a process ended before it wrote them."""
        if (usecase, running.began, running.stage) in self._told:
            return
        first = msgspec.structs.replace(running, stage=1, weight=running.first)
        transitions.tell(usecase, "canary.began", first, self._config)
        if running.stage > 1:
            transitions.tell(
                usecase, "canary.advanced", msgspec.structs.replace(running, evidence=evidence or {}), self._config
            )
        self._told.add((usecase, running.began, running.stage))

    def _version(self, usecase: str, number: str) -> ModelVersion | None:
        try:
            return self._registry.version(usecase, number)
        except NotFound:
            return None

    def _waits(self, usecase: str, why: str) -> RolloutView:
        last = self._last.get(usecase, RolloutView())
        return replace(last, said=f"waits: {why}") if last.version else last

    def _taken_back(self, usecase: str) -> tuple[int, str]:
        """How many rollbacks the audit knows, and when the last one was: what a restart does not forget."""
        if usecase not in self._rolled_back:
            found = [
                line for line in transitions.lines(usecase, self._config) if line.action == f"canary.{ROLLED_BACK}"
            ]
            self._rolled_back[usecase] = (len(found), found[-1].at if found else "")
        return self._rolled_back[usecase]

    def _view(
        self,
        usecase: str,
        running: RolloutState | None = None,
        policy: Policy | None = None,
        findings: list[TestResult] | None = None,
        said: str = "",
    ) -> RolloutView:
        if running is None or policy is None:
            last = self._last.get(usecase, RolloutView())
            return RolloutView(*self._taken_back(usecase), said=said or ("" if last.version else last.said))
        return RolloutView(
            *self._taken_back(usecase),
            running.version,
            running.champion,
            running.weight,
            running.stage,
            policy.stages(running.first or running.weight),
            running.since,
            running.began,
            findings or [],
            said,
        )


def _may_finish(running: RolloutState, champion: str | None, version: ModelVersion | None) -> bool:
    """Not where somebody has moved the champion, or refused the version, since it was decided."""
    return champion == running.champion and version is not None and REFUSED not in version.tags


def _asked(version: ModelVersion) -> float | None:
    """The weight that a person asked to begin with; None where nobody did, or what stands there is no percent."""
    try:
        weight = float(version.tags.get(FIRST_WEIGHT, ""))
    except ValueError:
        return None
    return weight if 0 < weight < 100 else None


def _kept(findings: list[TestResult]) -> dict[str, Any]:
    """The findings for tag and audit: those that decided first."""
    first = sorted(findings, key=lambda finding: (finding.verdict != HARMFUL, not needs_proof(finding.test)))
    return {"findings": [finding.to_dict() for finding in first[:_MOST_FINDINGS]]}
