"""Stages of the demo in order: train, promote, serve, monitor without drift, swap under traffic with drift, monitor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from scenarios.demo import assertions, traffic
from scenarios.demo.secrecy import check_secrets
from scenarios.harness import release_checks, scheduled_monitor
from scenarios.harness.checks import Check, Result
from scenarios.harness.jobs import Job, Jobs
from slipway import config as usecases
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.errors import ServiceError
from slipway.local import LocalServices, Stack, claim_services
from slipway.local.doctor import examine
from slipway.settings import settings

PROMOTION_SECONDS = 90
PROMOTION_TRAFFIC_SECONDS = 25
SWAP_FACTOR = 3  # as many rows as fill a window, so that each version has enough for a verdict


class Demo:
    """Runner of the demo: `Demo(names, say).run()`. Every process that it starts ends with it."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self._started = time.monotonic()
        self._since = datetime.now(UTC)
        self._usecases = [usecases.load(name) for name in names]
        self._names = list(names)
        self._write = say
        self._sent = dict.fromkeys(names, 0)
        self.result = Result()

    def run(self) -> Result:
        """Run every stage in order.

        Raises:
            SlipwayError: a process did not start or a command gave no result; the checks until then are in `result`.
        """
        try:
            self._doctor()
            with Stack(self._say) as stack:
                services = claim_services(stack, "demo", self._say)
                with Jobs(services.var / "logs") as jobs:
                    self._stages(stack, services, jobs)
            self.result.finished = True
        finally:
            self.result.seconds = time.monotonic() - self._started
        return self.result

    def _stages(self, stack: Stack, services: LocalServices, jobs: Jobs) -> None:
        self._say("Starting the registry (MLflow) and the orchestration (Prefect)")
        stack.start(services.mlflow(), services.prefect())
        stack.start(services.runner(self._names))
        self._say("Training: data in, a gated and registered version out, as Prefect deployments")
        first = self._train(services, {})
        self._say("Promoting, serving, shipping the log, watching")
        for name, version in first.items():
            jobs.start("promote", name, version).result()
        stack.start(services.ship(), services.service(self._names), services.watch())
        for name, version in first.items():
            self._check(release_checks.check_served(services, name, version))
        self._say("Traffic as in the holdout: no drift")
        self._no_drift(jobs)
        self._say("A second version, with another seed")
        seeds = {usecase.name: {"seed": str(usecase.seed + 1)} for usecase in self._usecases}
        second = self._train(services, seeds, besides=first)
        self._say("Promoting it while requests with drift on purpose flow")
        features = self._swap(services, jobs, first, second)
        self._say("The scheduled monitors, over the responses of both versions")
        self._drift(first, second, features)
        self._say("Checking the log, the registry, the pages, and that none shows a secret")
        for usecase in self._usecases:
            for check in assertions.check_log(usecase.name, self._since, self._sent[usecase.name]):
                self._check(check)
            self._check(assertions.check_reconciled(usecase.name, second[usecase.name]))
            self.result.files |= assertions.model_card(services, usecase.name, second[usecase.name])
        self._check(assertions.check_pages(services))
        self._check(check_secrets(services, self._since))

    def _doctor(self) -> None:
        """Stop before anything is started or written if the doctor finds an error or a missing package."""
        self._say("Examining this machine (slipway doctor)")
        findings = list(examine())
        wrong = [f for f in findings if f.state == "error" or (f.check == "packages" and f.state != "ok")]
        self._check(Check("all", "doctor", not wrong, f"{len(findings)} findings, {len(wrong)} would fail"))
        if wrong:
            raise ServiceError("; ".join(f"{f.detail}. Fix: {f.fix}" for f in wrong))

    def _train(
        self,
        services: LocalServices,
        overrides: Mapping[str, Mapping[str, str]],
        besides: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Train every use case at the same time, and return the version of each that goes on, other than `besides`.

        Raises:
            ServiceError: a flow run failed, or its version did not pass its gates and no earlier one did.
        """
        prefect, registry = PrefectClient(settings().prefect_uri), Registry()
        runs = {name: prefect.start(f"train/{name}", {"overrides": overrides.get(name, {})}) for name in self._names}
        versions = {}
        for name, run in sorted(prefect.wait(runs, self._say).items()):
            self._check(
                Check(name, "flow run in Prefect", run.completed, f"{run.state.lower()} in {run.seconds:.0f} s")
            )
            if not run.completed:
                raise ServiceError(f"train/{name} ended {run.state}: {run.message} See {services.var}/logs/runner.log.")
            version, check = assertions.check_trained(registry, name, besides.get(name))
            self._check(check)
            if not check.held:
                raise ServiceError(f"no version of {name} passed its gates: {check.observed}")
            versions[name] = version.version
        return versions

    def _no_drift(self, jobs: Jobs) -> None:
        """Send traffic as in the holdout for every use case, then monitor it against the reference."""
        since = datetime.now(UTC).isoformat()
        sending = {
            u.name: jobs.start(*traffic.arguments(u, traffic.rows_for_verdict(u), seed=1)) for u in self._usecases
        }
        self._answered(sending)
        monitors = {name: jobs.start("monitor", name, "--since", since) for name in self._names}
        for name, job in monitors.items():
            self._check(assertions.check_verdict(name, job.result(), "none", None))

    def _swap(
        self, services: LocalServices, jobs: Jobs, first: Mapping[str, str], second: Mapping[str, str]
    ) -> dict[str, str | None]:
        """Promote while traffic with drift flows; no request may fail, and both versions must answer some.

        Returns the feature that drifted in each use case.
        """
        # No more than a monitor's window holds: it must reach back to the responses of the first version.
        rows = {
            u.name: min(SWAP_FACTOR * traffic.rows_for_verdict(u), u.monitoring.window_rows) for u in self._usecases
        }
        sending = {
            u.name: jobs.start(
                *traffic.arguments(
                    u,
                    rows[u.name],
                    seed=2,
                    rate=max(1.0, rows[u.name] / PROMOTION_TRAFFIC_SECONDS),
                    drift=traffic.fitting_drift(u),
                )
            )
            for u in self._usecases
        }
        traffic.wait_for_flow(services.url("service"), sending)
        promoting = {
            name: jobs.start("promote", name, version, "--wait", str(PROMOTION_SECONDS))
            for name, version in second.items()
        }
        for job in promoting.values():
            job.result()
        reports = self._answered(sending)
        for name, report in reports.items():
            self._check(assertions.check_swapped(name, report["versions"], first[name], second[name]))
        return {name: report["feature"] for name, report in reports.items()}

    def _answered(self, sending: Mapping[str, Job]) -> dict[str, dict[str, Any]]:
        """Wait for the end of traffic, check that every request was answered, and return the reports."""
        reports: dict[str, dict[str, Any]] = {name: job.result() for name, job in sending.items()}
        for name, report in reports.items():
            self._sent[name] += report["sent"]
            self._check(traffic.check_answered(name, report))
        return reports

    def _drift(self, first: Mapping[str, str], second: Mapping[str, str], features: Mapping[str, str | None]) -> None:
        """Monitor the responses of both versions, as the schedule does."""
        monitors = scheduled_monitor.start_monitors(self._names)
        for name, verdict in scheduled_monitor.read_verdicts(monitors, self._say).items():
            self._check(assertions.check_verdict(name, verdict, "drift", features[name]))
            versions = [first[name], second[name]]
            self._check(scheduled_monitor.check_all_versions_and_reports(name, verdict, versions))
            self.result.files[f"{name}: drift report"] = verdict["report"]

    def _check(self, check: Check) -> None:
        self.result.checks.append(check)
        self._say(f"  {'ok' if check.held else 'FAIL'}: {check.subject}, {check.what}: {check.observed}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")
