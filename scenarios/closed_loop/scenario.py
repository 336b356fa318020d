"""The loop's scenario, top to bottom."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scenarios.closed_loop import (
    alert_storm,
    assertions,
    faulty_models,
    shifted_world,
    tampered_version,
    timeline_plot,
    workspace,
)
from scenarios.closed_loop.observer import REFUSED, SERVED, STAGE, Observer
from scenarios.closed_loop.simulated_callers import RATE, SimulatedCallers
from scenarios.demo import Check, Result
from scenarios.demo import assertions as shown
from scenarios.harness.jobs import Jobs
from slipway import config as usecases
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.errors import ServiceError
from slipway.local import Stack, settle
from slipway.settings import settings

BEFORE_ROWS, FIRST_ROWS = 1000, 1200  # together too few for a training
LABELS_SECONDS = 150.0
STAGE_SECONDS, SERVED_SECONDS, TAKEN_BACK_SECONDS = 240.0, 30.0, 180.0


@dataclass(frozen=True)
class Transition:
    """How long one part of the loop took, and what is counted from what."""

    what: str
    seconds: float


@dataclass
class ClosedLoopResult(Result):
    """What the loop has beside its checks: transitions and how long they took, and the history as it was told."""

    transitions: list[Transition] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)


class ClosedLoop:
    """`Loop(kind, original, say).run()`; plays in the state folder of the settings, and nothing outlives it."""

    def __init__(self, kind: str, usecase_folder: Path, say: Callable[[str], None]) -> None:
        self._started = time.monotonic()
        self._kind = kind
        self._original = workspace.original(usecase_folder)
        self._name = self._original.name
        self._write = say
        self._secret = secrets.token_hex(16)
        self._verdicts: list[dict[str, Any]] = []
        self.result = ClosedLoopResult()

    def run(self) -> ClosedLoopResult:
        """Every act in order.

        Raises:
            SlipwayError: a part did not start, or a transition did not come; what was checked until then is in
                `result`.
        """
        var = settings().var.resolve()
        workspace.empty(var)
        workspace.write(self._original, settings().usecases)
        self._usecase = usecases.load(self._name)
        os.environ["SLIPWAY_ALERT_SECRET"] = self._secret
        try:
            with Stack(self._say) as stack:
                here = settle(stack, "loop", self._say)
                with Jobs(here.var / "logs", "loop") as jobs:
                    self._jobs, self._here = jobs, here
                    self._serve(stack)
                    with Observer(self._name, here.url("service")) as self._observer:
                        self._callers = SimulatedCallers(jobs, self._usecase, here.var / "world")
                        self._acts()
            self.result.finished = True
        finally:
            self.result.seconds = time.monotonic() - self._started
        return self.result

    def _acts(self) -> None:
        self._as_ever()
        changed = self._change()
        started = self._ask(changed)
        registered = self._train(started)
        promoted = self._roll_out(registered)
        self._recover(changed, promoted)
        self._sabotage()
        self._callers.stop()
        self._check(assertions.answered(self._name, self._callers))
        self._look_back(changed)

    def _serve(self, stack: Stack) -> None:
        here = self._here
        self._say("Starting the registry (MLflow) and the orchestration (Prefect)")
        stack.start(here.mlflow(), here.prefect())
        stack.start(here.runner([self._name]))
        self._say("Training the first champion")
        prefect = PrefectClient(settings().prefect_uri)
        run = prefect.wait({self._name: prefect.start(f"train/{self._name}", {})}, self._say)[self._name]
        if not run.completed:
            raise ServiceError(f"train/{self._name} ended {run.state}: {run.message} See {here.var}/logs/runner.log.")
        self._alone = run.seconds
        self._transition("a training alone", run.seconds)
        version, check = shown.challenger(Registry(), self._name)
        self._check(check)
        self._jobs.start("promote", self._name, version.version).result()
        self._first = version.version
        self._say("Serving, shipping, watching")
        stack.start(here.ship(), here.service([self._name]), here.watch())
        self._check(shown.served(here, self._name, version.version))

    def _as_ever(self) -> None:
        self._say(f"Callers as ever: {BEFORE_ROWS} predictions, {RATE} a second, each with its label")
        self._callers.send(BEFORE_ROWS, changed=False)
        found = self._monitor()
        self._check(assertions.well(self._name, found, "before the change"))

    def _change(self) -> datetime:
        """The world changes, and it is found: returns when it changed."""
        self._say("The world changes: applicants look as before, and others of them fail to repay")
        before = datetime.now(UTC)
        self._callers.send(FIRST_ROWS, changed=True)
        changed = assertions.first_answer(self._name, before)
        found = self._monitor()
        self._check(assertions.found(self._name, found))
        self._time("the world changes → a verdict says that the answers are worse", changed)
        self._check(assertions.refused(self._name, found, workspace.ENOUGH))
        self._callers.keep_sending()
        return changed

    def _ask(self, changed: datetime) -> datetime:
        """Enough labels come, many ask at once, and one run is started: returns when."""
        self._say(f"Waiting for {workspace.ENOUGH} labelled rows")
        deadline = time.monotonic() + LABELS_SECONDS
        while assertions.labelled(self._name) < workspace.ENOUGH:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{assertions.labelled(self._name)} rows are labelled, {workspace.ENOUGH} are needed."
                )
            time.sleep(1.0)
        full = datetime.now(UTC)
        self._say("A hundred alerts and a verdict ask at once")
        verdict = self._jobs.start("monitor", self._name, "--no-detailed")
        self._check(alert_storm.storm(self._here.url("status"), self._name, self._secret))
        self._verdicts.append(found := verdict.result())
        runs = PrefectClient(settings().prefect_uri).begun("train", self._name, changed)
        self._check(assertions.one_run(self._name, runs))
        if not runs:
            raise ServiceError(f"nothing was started: {assertions.decided(self._name, found).seen}")
        self._run_id = runs[0].id
        self._check(assertions.decided(self._name, found))
        self._time("enough labels → one run is started", full, runs[0].created)
        return full

    def _train(self, full: datetime) -> datetime:
        """The run registers a challenger that passed its gates on evidence: returns when."""
        run = PrefectClient(settings().prefect_uri).wait({self._name: self._run_id}, self._say)[self._name]
        self._check(
            Check(self._name, "the run completes", run.completed, f"{run.state.lower()} in {run.seconds:.0f} s")
        )
        challenger = self._observer.wait(
            CHALLENGER, lambda value: value not in ("", self._first), 30.0, full, self._callers.trouble
        )
        self._second = challenger.value
        times = (challenger.at - full).total_seconds() / self._alone
        told = f"the window is full → a gated challenger is registered ({times:.1f} × a training alone)"
        self._time(told, full, challenger.at)
        self._check(assertions.waived(self._name, self._second))
        return challenger.at

    def _roll_out(self, registered: datetime) -> datetime:
        """The stages under live traffic: returns when the challenger was made champion."""
        self._say(f"Version {self._second} goes through the stages under live traffic")
        before = registered
        for weight in workspace.STAGES:
            stage = f"{self._second} at {weight:g} %"
            seen = self._observer.wait(STAGE, stage.__eq__, STAGE_SECONDS, registered, self._fallen(self._second))
            self._time(f"→ version {stage}", before, seen.at)
            before = seen.at
        champion = self._observer.wait(
            CHAMPION, self._second.__eq__, STAGE_SECONDS, registered, self._fallen(self._second)
        )
        self._time(f"→ version {self._second} is champion", before, champion.at)
        served = self._observer.wait(SERVED, self._second.__eq__, SERVED_SECONDS, registered, self._callers.trouble)
        self._time("champion moves → every worker serves it", champion.at, served.at)
        self._check(assertions.shares(self._name, self._second, self._observer, champion.at))
        return champion.at

    def _recover(self, changed: datetime, promoted: datetime) -> None:
        self._say("Looking at the quality on the new world")
        since = datetime.now(UTC)
        deadline = time.monotonic() + LABELS_SECONDS
        found = self._monitor("--since", since.isoformat())
        while not assertions.has_labels(found) and time.monotonic() < deadline:
            time.sleep(2.0)
            found = self._monitor("--since", since.isoformat())
        self._check(assertions.well(self._name, found, "after the change, by the new champion"))
        self._time("the world changes → a champion that knows it", changed, promoted)

    def _sabotage(self) -> None:
        self._say(f"Sabotage ({self._kind}): a version that is good on the holdout only, forced past its gates")
        version = tampered_version.register(
            self._name, self._second, self._kind, self._slice(), self._here.var / "sabotage"
        )
        began = datetime.now(UTC)
        why = "make loop: to see that it is taken back"
        self._jobs.start("promote", self._name, version, "--alias", CANARY, "--override", why).result()
        seen = self._observer.wait(CANARY, version.__eq__, 30.0, began, self._callers.trouble)
        self._observer.wait(
            REFUSED, lambda value: version in value.split(", "), TAKEN_BACK_SECONDS, began, self._callers.trouble
        )
        gone = self._observer.wait(CANARY, "".__eq__, 30.0, seen.at, self._callers.trouble)
        self._time("a bad canary → it is taken back", began, gone.at)
        time.sleep(2 * assertions.FOLLOW_SECONDS)
        self._check(assertions.taken_back(self._name, self._second, version))
        self._check(assertions.silent(self._name, version, gone.at))
        self._check(assertions.few_saw(self._name, version, began, gone.at))

    def _look_back(self, changed: datetime) -> None:
        self._say("Looking back: the audit, the history, the picture")
        self._check(assertions.never_without(self._name, self._observer))
        self.result.history = self._jobs.start("history", self._name).result()
        self._check(assertions.told(self._name, self.result.history))
        told = timeline_plot.of_log(self._usecase, self.result.history, self._verdicts, changed)
        self.result.files["timeline"] = str(timeline_plot.draw(told, self._here.var / "timeline.png"))

    def _slice(self) -> faulty_models.Slice:
        """The commonest value of the first category that the use case's gates look at by itself."""
        feature = next(part.feature for part in self._usecase.gates.slices if not part.bins)
        return faulty_models.Slice(
            feature, shifted_world.rows(self._usecase, 1000, seed=0, changed=False)[feature].mode()[0]
        )

    def _monitor(self, *options: str) -> dict[str, Any]:
        self._verdicts.append(self._jobs.start("monitor", self._name, "--no-detailed", *options).result())
        return self._verdicts[-1]

    def _fallen(self, version: str) -> Callable[[], str]:
        """Why the version will not become champion, once that is known."""

        def why() -> str:
            if version in self._observer.now(REFUSED).split(", "):
                return (
                    f"version {version} was refused: {Registry().version(self._name, version).tags['slipway.refused']}"
                )
            return self._callers.trouble()

        return why

    def _time(self, what: str, began: datetime, ended: datetime | None = None) -> None:
        self._transition(what, ((ended or datetime.now(UTC)) - began).total_seconds())

    def _transition(self, what: str, seconds: float) -> None:
        self.result.transitions.append(Transition(what, round(seconds, 1)))
        self._say(f"  {what}: {seconds:.1f} s")

    def _check(self, check: Check) -> None:
        self.result.checks.append(check)
        self._say(f"  {'ok' if check.held else 'FAIL'}: {check.what}: {check.seen}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")
