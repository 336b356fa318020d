"""Retraining policy: rules decide on every request for a training.

    decision = request_retraining("credit_risk", "drift", "monitor", {"drifted": ["age"]})
    decision.outcome, decision.reason

Every decision is recorded (`monitoring.retraining.decisions`). The rules, in order: the use case lists the reason; the
registry responds and retraining is not paused; Prefect (or GitHub, if a repository trains) responds and no training is
running; the cooldown since the last start is over; the runs of the week are not used up; there are enough new labels.

One run is started for any number of requests, from any process, even if it is killed: the flow run's idempotency key is
derived from the recorded starts. Equal recorded starts lead to the same run, and the next request finds a start that
was not recorded under its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from monitoring.retraining.decisions import Decision, Decisions
from monitoring.retraining.freshness import ChampionFreshness, champion_freshness, count_new_labels
from slipway import config as usecases
from slipway.clients.github import GitHubClient
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import FlowRun, PrefectClient
from slipway.config import Reason, UseCase
from slipway.contracts.registry_names import RETRAINING
from slipway.errors import RegistryError, ServiceError, SlipwayError
from slipway.prediction_log import Log, describe
from slipway.settings import Settings, settings
from slipway.system import locks
from slipway.timestamps import readable

REASONS: tuple[str, ...] = get_args(Reason)
PAUSED = "paused"
FLOW = "train"
_BY = "asked by "
_SECONDS = 5.0
_WEEK = timedelta(days=7)
_AHEAD = timedelta(hours=1)  # that Prefect's clock may be of this one


class RetrainingRefused(Exception):
    """Refusal by a rule, with the reason as a sentence."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def request_retraining(
    usecase: str,
    reason: str,
    source: str,
    evidence: dict[str, Any] | None = None,
    config: Settings | None = None,
    now: datetime | None = None,
) -> Decision:
    """Request a training for a `reason`, one of REASONS, as `source`; return the recorded decision.

    Raises:
        UseCaseError: there is no such use case.
        ServiceError, OSError: the log fails, so that nothing can be decided or recorded.
    """
    if reason not in REASONS:
        raise SlipwayError(f"{reason!r} is no reason for a training. Allowed: {', '.join(REASONS)}.")
    found, config = usecases.load(usecase), config or settings()
    with _one_at_a_time(config, usecase):
        return _Request(found, config, now or datetime.now(UTC), reason, source, evidence or {}).decide()


class _Request:
    """One request, with the facts that are collected on the way to its decision."""

    def __init__(
        self, usecase: UseCase, config: Settings, now: datetime, reason: str, source: str, evidence: dict[str, Any]
    ) -> None:
        self._usecase = usecase
        self._config = config
        self._now = now
        self._decisions = Decisions(config, usecase.name)
        self._runner = "github" if config.retraining_repository else "prefect"
        self._trainings = _trainings(config)
        self._facts: dict[str, Any] = {"asked_for": reason, "asked_by": source, "evidence": evidence}

    def decide(self) -> Decision:
        """Start a training, or record the refusal of a rule."""
        try:
            return self._start()
        except RetrainingRefused as refusal:
            return self._decisions.refuse(self._now, refusal.rule, reason=str(refusal), **self._facts)

    def _start(self) -> Decision:
        self._require_listed()
        fresh = self._champion()
        self._record_what_was_started()
        self._require_none_under_way()
        starts = self._decisions.starts()
        self._require_pace(list(starts.values()))
        rows = self._require_labels(fresh)
        self._decisions.record_request(**self._facts)
        run = self._begin(_key(self._config, self._usecase.name, starts))
        if run.id in self._decisions.starts():
            raise RetrainingRefused("under_way", f"Another request has just started flow run {run.id}.")
        since = f" since version {fresh.version} was trained" if fresh else ""
        return self._decisions.start(
            run.created, run.id, reason=f"{rows:,} labelled rows are new{since}, and no rule refuses.", **self._facts
        )

    def _require_listed(self) -> None:
        reason, listed = self._facts["asked_for"], self._usecase.retraining.reasons
        if reason not in listed:
            allowed = f"only for {', '.join(listed)}" if listed else "for no reason"
            raise RetrainingRefused(
                "not_listed", f"{self._usecase.name} is retrained {allowed} (`retraining.reasons`)."
            )

    def _champion(self) -> ChampionFreshness | None:
        """Freshness of the champion; None without one. Refuses where retraining is paused."""
        registry = Registry(self._config.registry_uri, _SECONDS)
        with _refusing("registry", RegistryError):
            model = registry.model(self._usecase.name)
            fresh = champion_freshness(registry, model)
        self._facts["version"] = fresh.version if fresh else None
        switch = model.tags.get(RETRAINING, "").strip()
        if switch.lower().startswith(PAUSED):
            raise RetrainingRefused(
                "paused", f"Retraining is {switch}. Removing the model's tag `{RETRAINING}` resumes it."
            )
        return fresh

    def _record_what_was_started(self) -> None:
        """Record starts whose process was killed before it could do so."""
        while run := self._unrecorded():
            asked_for = next((tag for tag in run.tags if tag in REASONS), self._facts["asked_for"])
            asked_by = next((tag.removeprefix(_BY) for tag in run.tags if tag.startswith(_BY)), self._facts["asked_by"])
            reason = "No rule refused; the process that started it ended before it recorded the start."
            self._decisions.start(
                run.created,
                run.id,
                **{**self._facts, "asked_for": asked_for, "asked_by": asked_by, "reason": reason, "evidence": {}},
            )

    def _unrecorded(self) -> FlowRun | None:
        """Find the flow run that was created under the key of the next start, which the record does not have yet."""
        key = _key(self._config, self._usecase.name, self._decisions.starts())
        with _refusing(self._runner, ServiceError):
            return self._trainings.with_key(key)

    def _require_none_under_way(self) -> None:
        with _refusing(self._runner, ServiceError):
            found = self._trainings.under_way(FLOW, self._usecase.name)
        if found:
            run = found[0]
            raise RetrainingRefused("under_way", f"A training is running: flow run {run.id} is {run.state.lower()}.")

    def _require_pace(self, starts: Sequence[datetime]) -> None:
        """Refuse while the cooldown lasts, or where the week's runs are used up.

        A start that a wrong clock dated ahead has no cooldown, which would last until then; it is one of the week's.
        """
        rules = self._usecase.retraining
        past = [start for start in starts if start <= self._now + _AHEAD]
        free_at = past[-1] + timedelta(hours=rules.cooldown_hours) if past else self._now
        if self._now < free_at:
            raise RetrainingRefused(
                "cooldown",
                f"The last training was started {readable(past[-1])}; the next is allowed at {readable(free_at)} "
                f"(`retraining.cooldown_hours` is {rules.cooldown_hours:g}).",
            )
        week = [start for start in starts if start > self._now - _WEEK]
        if len(week) >= rules.runs_per_week:
            raise RetrainingRefused(
                "runs_per_week",
                f"{len(week)} trainings were started in the last 7 days, the most that are allowed; the next is "
                f"allowed from {readable(week[-rules.runs_per_week] + _WEEK)} (`retraining.runs_per_week`).",
            )

    def _require_labels(self, fresh: ChampionFreshness | None) -> int:
        needed = self._usecase.retraining.min_labelled_rows
        log = Log(self._config)
        rows = count_new_labels(log, self._usecase, fresh.cutoff if fresh else None)
        broken = {"left_out": describe(log.left_out)} if log.left_out else {}
        self._facts["evidence"] = {**self._facts["evidence"], "labelled_rows": rows, **broken}
        if rows < needed:
            since = f" since version {fresh.version} was trained" if fresh else ""
            raise RetrainingRefused(
                "labels",
                f"Too few labelled rows: {rows:,} are new{since}, at least {needed:,} are needed "
                "(`retraining.min_labelled_rows`).",
            )
        return rows

    def _begin(self, key: str) -> FlowRun:
        reason, source = self._facts["asked_for"], self._facts["asked_by"]
        with _refusing(self._runner, ServiceError):
            name = f"{FLOW}/{self._usecase.name}"
            run = self._trainings.start(name, {}, key, [self._usecase.name, reason, _BY + source])
            return self._trainings.flow_run(run)


def _trainings(config: Settings) -> PrefectClient | GitHubClient:
    """Make the client of what runs trainings."""
    if not config.retraining_repository:
        return PrefectClient(config.prefect_uri, _SECONDS)
    token = config.github_token.get_secret_value() if config.github_token else ""
    return GitHubClient(config.retraining_repository, token, config.github_api, _SECONDS)


def _key(config: Settings, usecase: str, starts: Iterable[str]) -> str:
    known = hashlib.sha256(" ".join(sorted(starts)).encode()).hexdigest()
    return f"slipway-retraining-{config.environment}-{usecase}-{known}"


@contextmanager
def _refusing(rule: str, error: type[SlipwayError]) -> Iterator[None]:
    """Turn a server that does not respond into a refusal."""
    try:
        yield
    except error as raised:
        message = str(raised)
        raise RetrainingRefused(rule, f"{message[:1].upper()}{message[1:]}") from None


@contextmanager
def _one_at_a_time(config: Settings, usecase: str) -> Iterator[None]:
    """Serialize the requests of this machine; for those of several, the idempotency key does it."""
    with locks.exclusive(config.var / f"retraining-{config.environment}-{usecase}.lock"):
        yield
