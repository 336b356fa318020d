"""One stage of a rollout: evaluate the evidence; wait, advance, promote the canary or roll it back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from monitoring.rollout import transitions
from monitoring.rollout.decision import (
    HARMFUL,
    EvidenceResult,
    Progress,
    choose_action,
    describe_callers,
    evaluate,
    inconclusive_tests,
    is_required,
    unmet_conditions,
)
from monitoring.rollout.evidence import Evidence, gather
from monitoring.rollout.policy import Policy
from monitoring.rollout.state import FINISHED, ROLLED_BACK, RolloutState
from monitoring.rollout.view import RolloutView, RolloutViews
from slipway.clients.mlflow.registry import Registry
from slipway.errors import SlipwayError
from slipway.prediction_log import Log
from slipway.settings import Settings
from slipway.timestamps import iso

PAUSE_FACTOR = 4.0  # times as long as reading the log took: the log of a long rollout never keeps the watch busy
_MAX_RESULTS = 12  # of those that go with an outcome into a tag, which holds 5,000 characters
_log = logging.getLogger("slipway.watch")


class StageRunner:
    """Takes the stages of the rollouts on by the evidence in the prediction log."""

    def __init__(
        self, config: Settings, registry: Registry, log: Log, views: RolloutViews, now: Callable[[], datetime]
    ) -> None:
        self._config = config
        self._registry = registry
        self._log = log
        self._views = views
        self._now = now
        self._audited: set[tuple[str, str, int]] = set()
        self._next_poll: dict[str, float] = {}

    def step(self, usecase: str, running: RolloutState, policy: Policy, warning: str) -> RolloutView:
        """Evaluate the evidence where it is time to, and act on it; else return the last view.

        Raises:
            RegistryError: the registry does not respond.
            ServiceError, OSError: the audit cannot be written.
        """
        last = self._views.last(usecase)
        if last.began == running.began and time.monotonic() < self._next_poll.get(usecase, 0.0):
            return last
        began = time.monotonic()
        try:
            evidence = self._gather(usecase, running, policy)
        except OSError as error:
            return self._views.running(usecase, running, policy, f"waits: the log cannot be read: {error}")
        results = evaluate(evidence, policy)
        self._next_poll[usecase] = time.monotonic() + PAUSE_FACTOR * (time.monotonic() - began)
        return self._act(usecase, running, policy, evidence, results, warning)

    def record(self, usecase: str, running: RolloutState, evidence: dict[str, Any] | None = None) -> None:
        """Write the audit lines of the start and of this stage, once, also where a process ended before it did."""
        if (usecase, running.began, running.stage) in self._audited:
            return
        first = msgspec.structs.replace(running, stage=1, weight=running.first)
        transitions.record(usecase, "canary.began", first, self._config)
        if running.stage > 1:
            advanced = msgspec.structs.replace(running, evidence=evidence or {})
            transitions.record(usecase, "canary.advanced", advanced, self._config)
        self._audited.add((usecase, running.began, running.stage))

    def _gather(self, usecase: str, running: RolloutState, policy: Policy) -> Evidence:
        """The evidence. Raises OSError for whatever keeps the log from being read."""
        import duckdb

        try:
            return gather(self._log, usecase, running, policy)
        except (SlipwayError, duckdb.Error) as error:
            raise OSError(str(error)) from error

    def _act(
        self,
        usecase: str,
        running: RolloutState,
        policy: Policy,
        evidence: Evidence,
        results: list[EvidenceResult],
        warning: str,
    ) -> RolloutView:
        minutes = running.minutes(self._now())
        progress = Progress(running.weight, evidence.fewest_predictions[0], minutes, evidence.fewest_labelled)
        inconclusive = inconclusive_tests(results)
        harmful = any(result.verdict == HARMFUL for result in results)
        disputed = any(result.disputed for result in results)
        action = choose_action(policy, progress, harmful, inconclusive, disputed)
        if action == "back":
            return self._roll_back(usecase, running, results, evidence.single_caller)
        if action == "on":
            return self._advance(usecase, running, policy, results)
        if action == "finish":
            return self._finish(usecase, running, results, evidence.single_caller)
        unmet = unmet_conditions(policy, progress, inconclusive)
        waiting = f"waits for {', '.join(unmet)}." if unmet else ""
        notes = [waiting, describe_callers(evidence, results, policy), warning, evidence.left_out]
        return self._views.running(usecase, running, policy, " ".join(filter(None, notes)), results)

    def _roll_back(
        self, usecase: str, running: RolloutState, results: list[EvidenceResult], single_caller: str
    ) -> RolloutView:
        harm = (result.sentence for result in results if result.verdict == HARMFUL)
        why = "; ".join(filter(None, [*harm, single_caller]))
        self._end(usecase, running, ROLLED_BACK, why, results)
        _log.warning("%s: version %s is rolled back: %s", usecase, running.version, why)
        return self._views.rolled_back(usecase, f"version {running.version} was rolled back: {why}.")

    def _advance(
        self, usecase: str, running: RolloutState, policy: Policy, results: list[EvidenceResult]
    ) -> RolloutView:
        now, weight = iso(self._now()), float(policy.next_stage(running.weight) or running.weight)
        running = msgspec.structs.replace(running, stage=running.stage + 1, weight=weight, since=now)
        transitions.save(self._registry, usecase, running)
        self._next_poll.pop(usecase, None)
        self.record(usecase, running, _evidence(results))
        _log.info("%s: version %s advances to %g %%", usecase, running.version, weight)
        return self._views.running(usecase, running, policy, f"advances to {weight:g} %.", results)

    def _finish(
        self, usecase: str, running: RolloutState, results: list[EvidenceResult], single_caller: str
    ) -> RolloutView:
        safe = ", ".join(result.test for result in results if is_required(result.test))
        why = "; ".join(filter(None, ["every stage passed", f"shown to be safe: {safe}", single_caller]))
        self._end(usecase, running, FINISHED, why, results)
        _log.info("%s: version %s is the champion: %s", usecase, running.version, why)
        return self._views.idle(usecase, f"version {running.version} became the champion: {why}.")

    def _end(self, usecase: str, running: RolloutState, outcome: str, why: str, results: list[EvidenceResult]) -> None:
        """Put the outcome down, then carry it out."""
        facts = {"why": why, "who": transitions.ROLLOUT, "evidence": _evidence(results)}
        running = transitions.decide(self._registry, usecase, running, outcome, **facts)
        transitions.carry_out(self._registry, usecase, running, self._config)


def _evidence(results: list[EvidenceResult]) -> dict[str, Any]:
    """The results for tag and audit: those that decided first."""
    first = sorted(results, key=lambda result: (result.verdict != HARMFUL, not is_required(result.test)))
    return {"findings": [result.to_dict() for result in first[:_MAX_RESULTS]]}
