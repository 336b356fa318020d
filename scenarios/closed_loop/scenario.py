"""Stages of the closed loop in order: drift, detection, retraining, rollout, recovery, and a faulty canary."""

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
    dashboard_checks,
    faulty_models,
    shifted_world,
    tampered_version,
    timeline_plot,
    workspace,
)
from scenarios.closed_loop.observer import REFUSED, SERVED, STAGE, Observer
from scenarios.closed_loop.simulated_callers import RATE, SimulatedCallers
from scenarios.harness import release_checks, scheduled_monitor, state_folder
from scenarios.harness.checks import Check, Result
from scenarios.harness.jobs import Jobs
from scenarios.harness.prometheus_client import Prometheus
from scenarios.harness.shortened_servers import shortened_servers
from scenarios.harness.waiting import until
from slipway import config as usecases
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.contracts import registry_names
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.errors import ServiceError
from slipway.local import Stack, claim_services
from slipway.local.monitoring_servers import monitoring_servers
from slipway.settings import settings

ROWS_BEFORE, ROWS_AFTER = 1000, 1200  # before and after the drift, together too few for a training
LABELS_SECONDS = 150.0
MONITORED_STAGE = workspace.STAGES[1]  # both versions answer a good part of the window
STAGE_SECONDS, SERVED_SECONDS, ROLLBACK_SECONDS = 240.0, 30.0, 180.0


@dataclass(frozen=True)
class Transition:
    """Duration of one part of the loop; `what` names its begin and end."""

    what: str
    seconds: float


@dataclass
class ClosedLoopResult(Result):
    """Checks of the closed loop, with the duration of its transitions and the output of `slipway history`."""

    transitions: list[Transition] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)


class ClosedLoop:
    """Runner of the closed loop in the state folder of the settings: `ClosedLoop(kind, usecase_folder, say).run()`.

    Every process that it starts ends with it.
    """

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
        """Run every stage in order.

        Raises:
            SlipwayError: a process did not start, or a transition took too long; the checks until then are in `result`.
        """
        var = settings().var.resolve()
        state_folder.empty(var, "a closed loop")
        workspace.write(self._original, settings().usecases)
        self._usecase = usecases.load(self._name)
        os.environ["SLIPWAY_ALERT_SECRET"] = self._secret
        try:
            with Stack(self._say) as stack:
                services = claim_services(stack, "loop", self._say)
                with Jobs(services.var / "logs", "loop") as jobs:
                    self._jobs, self._services = jobs, services
                    self._servers = shortened_servers(monitoring_servers(services, ["prometheus"], self._say))
                    self._serve(stack)
                    with Observer(self._name, services.url("service")) as self._observer:
                        self._callers = SimulatedCallers(jobs, self._usecase, services.var / "world")
                        self._stages()
            self.result.finished = True
        finally:
            self.result.seconds = time.monotonic() - self._started
        return self.result

    def _stages(self) -> None:
        self._traffic_before_drift()
        changed = self._drift()
        requested = self._request_training(changed)
        registered = self._train(requested)
        promoted = self._roll_out(registered)
        self._recover(changed, promoted)
        faulty = self._sabotage()
        self._check_dashboard(changed, faulty)
        self._callers.stop()
        self._check(assertions.check_all_answered(self._name, self._callers))
        self._check_records(changed)

    def _serve(self, stack: Stack) -> None:
        services = self._services
        self._say("Starting the registry (MLflow) and the orchestration (Prefect)")
        stack.start(services.mlflow(), services.prefect())
        stack.start(services.runner([self._name]))
        self._say("Training the first champion")
        prefect = PrefectClient(settings().prefect_uri)
        run = prefect.wait({self._name: prefect.start(f"train/{self._name}", {})}, self._say)[self._name]
        if not run.completed:
            raise ServiceError(
                f"train/{self._name} ended {run.state}: {run.message} See {services.var}/logs/runner.log."
            )
        self._first_training_seconds = run.seconds
        self._transition("the first training", run.seconds)
        version, check = release_checks.check_challenger(Registry(), self._name)
        self._check(check)
        self._jobs.start("promote", self._name, version.version).result()
        self._first = version.version
        self._say("Serving, shipping, watching")
        ship = services.ship(self._servers.ship_port)
        stack.start(ship, services.service([self._name]), services.watch())
        self._scraped_since = time.time()
        if self._servers.programs:
            stack.start(self._servers.prometheus())  # now: before, it would find that nothing is up
        self._check(release_checks.check_served(services, self._name, version.version))

    def _traffic_before_drift(self) -> None:
        self._say(f"Traffic before the drift: {ROWS_BEFORE} predictions, {RATE} a second, each with its label")
        self._callers.send(ROWS_BEFORE, changed=False)
        self._check(assertions.check_healthy(self._name, self._monitor(), "before the drift"))

    def _drift(self) -> datetime:
        """Send traffic after the drift until a verdict detects it; returns when the drift began."""
        self._say("Concept drift: applicants look as before, and others of them fail to repay")
        before = datetime.now(UTC)
        self._callers.send(ROWS_AFTER, changed=True)
        changed = assertions.first_prediction_at(self._name, before)
        verdict = self._monitor()
        self._check(assertions.check_drift_detected(self._name, verdict))
        self._time("concept drift → a verdict detects it", changed)
        self._check(assertions.check_retraining_refused(self._name, verdict, workspace.MIN_LABELLED_ROWS))
        self._callers.keep_sending()
        return changed

    def _request_training(self, changed: datetime) -> datetime:
        """Wait for enough labels and request a training many times at once; returns when there were enough."""
        self._say(f"Waiting for {workspace.MIN_LABELLED_ROWS} labelled rows")
        deadline = time.monotonic() + LABELS_SECONDS
        while assertions.count_labelled(self._name) < workspace.MIN_LABELLED_ROWS:
            if time.monotonic() > deadline:
                labelled = assertions.count_labelled(self._name)
                raise ServiceError(f"{labelled} rows are labelled, {workspace.MIN_LABELLED_ROWS} are needed.")
            time.sleep(1.0)
        full = datetime.now(UTC)
        self._say("A hundred alerts and a verdict request a training at once")
        monitor = self._jobs.start("monitor", self._name)
        self._check(alert_storm.check_alert_storm(self._services.url("status"), self._name, self._secret))
        self._verdicts.append(verdict := monitor.result())
        runs = PrefectClient(settings().prefect_uri).begun("train", self._name, changed)
        self._check(assertions.check_one_run(self._name, runs))
        if not runs:
            raise ServiceError(
                f"no run was started: {assertions.check_decision_recorded(self._name, verdict).observed}"
            )
        self._run_id = runs[0].id
        self._check(assertions.check_decision_recorded(self._name, verdict))
        self._time("enough labels → one run starts", full, runs[0].created)
        return full

    def _train(self, full: datetime) -> datetime:
        """Wait until the run registers a challenger that passed its gates; returns when."""
        run = PrefectClient(settings().prefect_uri).wait({self._name: self._run_id}, self._say)[self._name]
        self._check(
            Check(self._name, "the run completes", run.completed, f"{run.state.lower()} in {run.seconds:.0f} s")
        )
        challenger = self._observer.wait(
            CHALLENGER, lambda value: value not in ("", self._first), 30.0, full, self._callers.failure
        )
        self._second = challenger.value
        times = (challenger.at - full).total_seconds() / self._first_training_seconds
        what = f"enough labels → a gated challenger is registered ({times:.1f} × the first training)"
        self._time(what, full, challenger.at)
        self._check(assertions.check_gates_waived(self._name, self._second))
        return challenger.at

    def _roll_out(self, registered: datetime) -> datetime:
        """Wait for the canary stages under live traffic; returns when the challenger became champion."""
        self._say(f"Version {self._second} goes through the canary stages under live traffic")
        before, failure = registered, self._rollout_failure(self._second)
        for weight in workspace.STAGES:
            stage = f"{self._second} at {weight:g} %"
            observed = self._observer.wait(STAGE, stage.__eq__, STAGE_SECONDS, registered, failure)
            self._time(f"→ version {stage}", before, observed.at)
            before = observed.at
            if weight == MONITORED_STAGE:
                monitors = scheduled_monitor.start_monitors([self._name])
        champion = self._observer.wait(CHAMPION, self._second.__eq__, STAGE_SECONDS, registered, failure)
        self._time(f"→ version {self._second} is champion", before, champion.at)
        verdict = scheduled_monitor.read_verdicts(monitors, self._say)[self._name]
        self._verdicts.append(verdict)
        versions = [self._first, self._second]
        self._check(scheduled_monitor.check_all_versions_and_reports(self._name, verdict, versions))
        served = self._observer.wait(SERVED, self._second.__eq__, SERVED_SECONDS, registered, self._callers.failure)
        self._time("the alias champion moves → every worker serves it", champion.at, served.at)
        self._check(assertions.check_stage_shares(self._name, self._second, self._observer, champion.at))
        return champion.at

    def _recover(self, changed: datetime, promoted: datetime) -> None:
        self._say("Monitoring the quality after the drift")
        since = datetime.now(UTC)
        deadline = time.monotonic() + LABELS_SECONDS
        verdict = self._monitor("--since", since.isoformat())
        while not assertions.has_labels(verdict) and time.monotonic() < deadline:
            time.sleep(2.0)
            verdict = self._monitor("--since", since.isoformat())
        self._check(assertions.check_healthy(self._name, verdict, "after the drift, by the new champion"))
        self._time("concept drift → a champion that was trained on it", changed, promoted)

    def _sabotage(self) -> str:
        """Wait until a canary that harms has been rolled back; returns its version."""
        self._say(f"Sabotage ({self._kind}): a version that is good on the holdout only, forced past its gates")
        version = tampered_version.register(
            self._name, self._second, self._kind, self._slice(), self._services.var / "sabotage"
        )
        began = datetime.now(UTC)
        why = "make loop: to see that it is rolled back"
        self._jobs.start("promote", self._name, version, "--alias", CANARY, "--override", why).result()
        observed = self._observer.wait(CANARY, version.__eq__, 30.0, began, self._callers.failure)
        self._observer.wait(
            REFUSED, lambda value: version in value.split(", "), ROLLBACK_SECONDS, began, self._callers.failure
        )
        gone = self._observer.wait(CANARY, "".__eq__, 30.0, observed.at, self._callers.failure)
        self._time("a faulty canary → it is rolled back", began, gone.at)
        time.sleep(2 * assertions.FOLLOW_SECONDS)
        self._check(assertions.check_rolled_back(self._name, self._second, version))
        self._check(assertions.check_no_predictions(self._name, version, gone.at))
        self._check(assertions.check_few_predictions(self._name, version, began, gone.at))
        return version

    def _check_dashboard(self, changed: datetime, faulty: str) -> None:
        """Check what the dashboard shows until now, which needs a Prometheus."""
        if not self._servers.programs:
            return
        self._say("Reading the dashboard *Model* from Prometheus")
        prometheus = Prometheus(self._servers.url("prometheus"))
        until(lambda: dashboard_checks.ROLLED_BACK in prometheus.firing(), release_checks.SETTLE_SECONDS)
        shown = dashboard_checks.read(prometheus, self._name, self._scraped_since, time.time())
        self._check(dashboard_checks.check_versions(self._name, shown, self._first, self._second, workspace.STAGES))
        self._check(dashboard_checks.check_quality(self._name, shown, changed.timestamp()))
        self._check(dashboard_checks.check_rolled_back(self._name, shown, self._second, faulty))

    def _check_records(self, changed: datetime) -> None:
        self._say("Checking the audit and the history, and drawing the timeline")
        self._check(assertions.check_always_a_champion(self._name, self._observer))
        self.result.history = self._jobs.start("history", self._name).result()
        self._check(assertions.check_history(self._name, self.result.history))
        timeline = timeline_plot.read_timeline(self._usecase, self.result.history, self._verdicts, changed)
        self.result.files["timeline"] = str(timeline_plot.draw(timeline, self._services.var / "timeline.png"))

    def _slice(self) -> faulty_models.Slice:
        """Choose the most frequent value of the first category in the use case's `gates.slices`."""
        feature = next(part.feature for part in self._usecase.gates.slices if not part.bins)
        return faulty_models.Slice(
            feature, shifted_world.rows(self._usecase, 1000, seed=0, changed=False)[feature].mode()[0]
        )

    def _monitor(self, *options: str) -> dict[str, Any]:
        self._verdicts.append(self._jobs.start("monitor", self._name, *options).result())
        return self._verdicts[-1]

    def _rollout_failure(self, version: str) -> Callable[[], str]:
        """Make a function that says why the version will not become champion, once that is known."""

        def failure() -> str:
            if version in self._observer.now(REFUSED).split(", "):
                reason = Registry().version(self._name, version).tags[registry_names.REFUSED]
                return f"version {version} was refused: {reason}"
            return self._callers.failure()

        return failure

    def _time(self, what: str, began: datetime, ended: datetime | None = None) -> None:
        self._transition(what, ((ended or datetime.now(UTC)) - began).total_seconds())

    def _transition(self, what: str, seconds: float) -> None:
        self.result.transitions.append(Transition(what, round(seconds, 1)))
        self._say(f"  {what}: {seconds:.1f} s")

    def _check(self, check: Check) -> None:
        self.result.checks.append(check)
        self._say(f"  {'ok' if check.held else 'FAIL'}: {check.what}: {check.observed}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")
