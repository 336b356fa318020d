"""The retraining policy: whoever finds that a model should be trained again asks here, and rules decide.

    decision = ask("credit_risk", "drift", "monitor", {"drifted": ["age"]})
    decision.outcome, decision.reason

Every ask is answered with a decision, and every decision is recorded (`monitoring.retraining.decisions`). The rules, in
order: the use case listens to this reason; the registry answers and nobody has paused retraining; Prefect answers and
no training is under way; the last start is long enough ago; the week's runs are not used up; enough labels are new.

One run is started for any number of asks, wherever they come from and whichever process is killed: the flow run's
idempotency key is made of the starts that are recorded. Those who know the same starts name the same run, and a start
that was never recorded is found under its key by the next ask.
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
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import FlowRun, PrefectClient
from slipway.config import Reason, UseCase
from slipway.contracts.registry_names import RETRAINING
from slipway.errors import RegistryError, ServiceError, SlipwayError
from slipway.prediction_log import Log
from slipway.settings import Settings, settings
from slipway.system import locks
from slipway.timestamps import readable

REASONS: tuple[str, ...] = get_args(Reason)
PAUSED = "paused"
FLOW = "train"
_BY = "asked by "
_SECONDS = 5.0
_WEEK = timedelta(days=7)


class RetrainingRefused(Exception):
    """A rule that says no, with the sentence why."""

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
    """Ask for a training because of `reason`, one of REASONS, as `source`: what was decided, and recorded.

    Raises:
        UseCaseError: there is no such use case.
        ServiceError, OSError: the log's place fails, so that nothing can be known or recorded.
    """
    if reason not in REASONS:
        raise SlipwayError(f"{reason!r} is no reason for a training. There are: {', '.join(REASONS)}.")
    found, config = usecases.load(usecase), config or settings()
    with _one_at_a_time(config, usecase):
        return _Request(found, config, now or datetime.now(UTC), reason, source, evidence or {}).decide()


class _Request:
    """One ask, with what is found out about it on the way."""

    def __init__(
        self, usecase: UseCase, config: Settings, now: datetime, reason: str, source: str, evidence: dict[str, Any]
    ) -> None:
        self._usecase = usecase
        self._config = config
        self._now = now
        self._decisions = Decisions(config, usecase.name)
        self._prefect = PrefectClient(config.prefect_uri, _SECONDS)
        self._said: dict[str, Any] = {"asked_for": reason, "asked_by": source, "evidence": evidence}

    def decide(self) -> Decision:
        try:
            return self._start()
        except RetrainingRefused as refusal:
            return self._decisions.refuse(self._now, refusal.rule, reason=str(refusal), **self._said)

    def _start(self) -> Decision:
        self._require_listed()
        stands = self._champion()
        self._record_what_was_started()
        self._require_none_under_way()
        starts = self._decisions.starts()
        self._require_pace(list(starts.values()))
        rows = self._require_labels(stands)
        self._decisions.ask(**self._said)
        run = self._begin(_key(self._config, self._usecase.name, starts))
        if run.id in self._decisions.starts():
            raise RetrainingRefused("under_way", f"Another ask was faster, and has just started flow run {run.id}.")
        since = f" since version {stands.version} was trained" if stands else ""
        return self._decisions.start(
            run.created, run.id, reason=f"{rows:,} labelled rows are new{since}, and no rule refuses.", **self._said
        )

    def _require_listed(self) -> None:
        asked, listed = self._said["asked_for"], self._usecase.retraining.reasons
        if asked not in listed:
            listened = f"only to {', '.join(listed)}" if listed else "to nothing"
            raise RetrainingRefused("not_listed", f"{self._usecase.name} listens {listened} (`retraining.reasons`).")

    def _champion(self) -> ChampionFreshness | None:
        """Whose successor it would be; None where there is none. Refuses where retraining is paused."""
        registry = Registry(self._config.registry_uri, _SECONDS)
        with _refusing("registry", RegistryError):
            model = registry.model(self._usecase.name)
            stands = champion_freshness(registry, model)
        self._said["version"] = stands.version if stands else None
        switch = model.tags.get(RETRAINING, "").strip()
        if switch.lower().startswith(PAUSED):
            raise RetrainingRefused(
                "paused", f"Retraining is {switch}. Removing the model's tag `{RETRAINING}` lets it go on."
            )
        return stands

    def _record_what_was_started(self) -> None:
        """Starts whose process was killed before it could record them."""
        while run := self._unrecorded():
            asked_for = next((tag for tag in run.tags if tag in REASONS), self._said["asked_for"])
            asked_by = next((tag.removeprefix(_BY) for tag in run.tags if tag.startswith(_BY)), self._said["asked_by"])
            reason = "No rule refused; who started it ended before it was recorded."
            self._decisions.start(
                run.created,
                run.id,
                **{**self._said, "asked_for": asked_for, "asked_by": asked_by, "reason": reason, "evidence": {}},
            )

    def _unrecorded(self) -> FlowRun | None:
        key = _key(self._config, self._usecase.name, self._decisions.starts())
        with _refusing("prefect", ServiceError):
            return self._prefect.with_key(key)

    def _require_none_under_way(self) -> None:
        with _refusing("prefect", ServiceError):
            found = self._prefect.under_way(FLOW, self._usecase.name)
        if found:
            run = found[0]
            raise RetrainingRefused("under_way", f"A training is under way: flow run {run.id} is {run.state.lower()}.")

    def _require_pace(self, starts: Sequence[datetime]) -> None:
        rules = self._usecase.retraining
        free_at = starts[-1] + timedelta(hours=rules.cooldown_hours) if starts else self._now
        if self._now < free_at:
            raise RetrainingRefused(
                "cooldown",
                f"The last training was started {readable(starts[-1])}, and the next may be {readable(free_at)} "
                f"(`retraining.cooldown_hours` is {rules.cooldown_hours:g}).",
            )
        week = [start for start in starts if start > self._now - _WEEK]
        if len(week) >= rules.runs_per_week:
            raise RetrainingRefused(
                "runs_per_week",
                f"{len(week)} trainings were started in the last 7 days, which are all that there may be; the next "
                f"may be {readable(week[-rules.runs_per_week] + _WEEK)} (`retraining.runs_per_week`).",
            )

    def _require_labels(self, stands: ChampionFreshness | None) -> int:
        needed = self._usecase.retraining.min_labelled_rows
        rows = count_new_labels(Log(self._config), self._usecase, stands.cutoff if stands else None)
        self._said["evidence"] = {**self._said["evidence"], "labelled_rows": rows}
        if rows < needed:
            since = f" since version {stands.version} was trained" if stands else ""
            raise RetrainingRefused(
                "labels",
                f"Too few labelled rows: {rows:,} are new{since}, at least {needed:,} are needed "
                "(`retraining.min_labelled_rows`).",
            )
        return rows

    def _begin(self, key: str) -> FlowRun:
        asked, by = self._said["asked_for"], self._said["asked_by"]
        with _refusing("prefect", ServiceError):
            name = f"{FLOW}/{self._usecase.name}"
            run = self._prefect.start(name, {}, key, [self._usecase.name, asked, _BY + by])
            return self._prefect.flow_run(run)


def _key(config: Settings, usecase: str, starts: Iterable[str]) -> str:
    known = hashlib.sha256(" ".join(sorted(starts)).encode()).hexdigest()
    return f"slipway-retraining-{config.environment}-{usecase}-{known}"


@contextmanager
def _refusing(rule: str, error: type[SlipwayError]) -> Iterator[None]:
    """A server that does not answer as a refusal."""
    try:
        yield
    except error as raised:
        said = str(raised)
        raise RetrainingRefused(rule, f"{said[:1].upper()}{said[1:]}") from None


@contextmanager
def _one_at_a_time(config: Settings, usecase: str) -> Iterator[None]:
    """Asks of one machine wait for each other; those of several are told apart by the key."""
    with locks.exclusive(config.var / f"retraining-{config.environment}-{usecase}.lock"):
        yield
