"""Stages of the observation: deploy, provoke every fault in turn, await each alert, and read every panel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scenarios.closed_loop import workspace
from scenarios.harness import release_checks, state_folder
from scenarios.harness.checks import Check, Result
from scenarios.harness.jobs import Jobs
from scenarios.harness.shortened_rules import pending_seconds
from scenarios.harness.shortened_servers import SCRAPE_SECONDS, shortened_servers
from scenarios.harness.waiting import until
from scenarios.observability import kibana_panels, panels
from scenarios.observability.deployment import SEGMENT_SECONDS, Deployment, write_usecase
from scenarios.observability.faults import monitoring, prediction_log, registry, search, service
from scenarios.observability.faults.fault import Fault
from scenarios.observability.load import Load
from scenarios.observability.prediction_story import PredictionStory
from scenarios.observability.report import (
    AlertObservation,
    FirstDelivery,
    PanelObservation,
    SearchedPanel,
    StoryStep,
    punctuality,
)
from scenarios.observability.webhook_receiver import FIRING, Delivery, WebhookReceiver, deliver_to
from slipway import api_keys
from slipway import config as usecases
from slipway.clients.elasticsearch.connection import is_configured
from slipway.clients.mlflow.registry import Registry
from slipway.errors import ServiceError
from slipway.local import LocalServices, Stack, claim_services
from slipway.local.monitoring_servers import RULES, MonitoringServers, monitoring_servers
from slipway.settings import settings

WATCHDOG = "SlipwayWatchdog"
WATCHED = "slipway_watch_pass_timestamp_seconds"
JOBS = {"serving", "watch", "ship", "prometheus"}
SERVERS = ("prometheus", "alertmanager")
SEARCH = "elasticsearch"  # where it is installed, and the settings name none
QUIET_SECONDS, DELIVERED_SECONDS, CLEARED_SECONDS = 60.0, 75.0, 90.0
LAST_SAMPLE_SECONDS = 3.0  # an alert without a sample for so long is cleared
RESOLVED_SECONDS = 900.0  # for which Prometheus repeats that an alert is resolved: so Alertmanager keeps its group

# In this order; those of the second group happen while the first fault of the group lasts
GROUPS: tuple[tuple[Fault, tuple[Fault, ...]], ...] = (
    (
        monitoring.few_labels,
        (
            service.key_ends,
            service.disk_and_memory,
            service.few_files_left,
            service.invalid_requests,
            service.heavy_requests,
            service.follower_killed,
        ),
    ),
    (monitoring.changed_population, ()),
    (monitoring.failing_monitor, ()),
    (service.no_traffic, (registry.registry_stopped, registry.version_altered)),
    (monitoring.monitor_overdue, ()),
    (registry.damaged_version, ()),
    (registry.version_deleted, ()),
    (registry.canary_stalled, ()),
    (registry.canary_rolled_back, ()),
    (registry.failing_champion, ()),
    (prediction_log.shipper_stopped, ()),
    (prediction_log.spool_unwritable, ()),
    (prediction_log.log_unwritable, ()),
    (service.packaged_bundle, ()),
)
# Where there is an Elasticsearch
SEARCH_FAULTS = (search.search_read_only, search.document_refused)
# Their alerts inhibit others, which must be cleared before
INHIBITING = (service.no_targets, service.service_stopped, monitoring.watch_stopped)


def every_fault() -> Iterator[Fault]:
    """Yield every fault in the order in which they begin."""
    for outer, inner in GROUPS:
        yield from (outer, *inner)
    yield from SEARCH_FAULTS
    yield from INHIBITING


@dataclass(frozen=True)
class _Lasted:
    """A fault that lasted from `began` until `mended`, in seconds since 1970."""

    fault: Fault
    began: float
    mended: float


@dataclass
class ObservabilityResult(Result):
    """Checks of the observation, with what was observed of each alert and each panel.

    `story` and `searched` are of Elasticsearch, empty without it.
    """

    alerts: list[AlertObservation] = field(default_factory=list)
    panels: list[PanelObservation] = field(default_factory=list)
    story: list[StoryStep] = field(default_factory=list)
    searched: list[SearchedPanel] = field(default_factory=list)


class Observability:
    """Runner of the observation in the state folder of the settings: `Observability(usecase_folder, say).run()`.

    Every process that it starts ends with it.
    """

    def __init__(self, usecase_folder: Path, say: Callable[[str], None]) -> None:
        self._started = time.monotonic()
        self._original = workspace.original(usecase_folder)
        self._write = say
        self._lasted: list[_Lasted] = []
        self.result = ObservabilityResult()

    def run(self) -> ObservabilityResult:
        """Provoke every fault and read every panel.

        Raises:
            SlipwayError: a process did not start, or a program is not installed; the checks until then are in `result`.
        """
        state_folder.empty(settings().var.resolve(), "the observation")
        write_usecase(self._original, settings().usecases)
        usecase = usecases.load(self._original.name)
        _require_key()
        try:
            with WebhookReceiver() as self._webhook, Stack(self._say) as stack:
                services = claim_services(stack, "observe", self._say)
                with Jobs(services.var / "logs", "observe") as jobs:
                    load = Load(jobs, usecase, services.url("service"), services.var / "rows")
                    servers = shortened_servers(self._servers(services))
                    self._deployment = Deployment(usecase, stack, services, servers, jobs, load)
                    self._stages()
            self.result.finished = True
        finally:
            self.result.seconds = time.monotonic() - self._started
        return self.result

    def _servers(self, services: LocalServices) -> MonitoringServers:
        """Find the programs, and have Alertmanager deliver to this process. Raises ServiceError where one lacks."""
        wanted = SERVERS if is_configured(settings()) else (*SERVERS, SEARCH)
        found = monitoring_servers(services, wanted, self._say)
        if lacking := [server for server in SERVERS if server not in found.programs]:
            raise ServiceError(f"the observation needs {' and '.join(lacking)}: install what the lines above name.")
        secret = services.var / "webhook-secret"
        secret.write_text("of the scenario's webhook")
        os.environ.update(deliver_to(self._webhook.url, secret))
        return found

    def _stages(self) -> None:
        self._deploy()
        began = time.time()
        self._observe_servers()
        self._tell_story()
        for outer, inner in GROUPS:
            with self._lasting(outer):
                for fault in inner:
                    with self._lasting(fault):
                        pass
        if is_configured(settings()):
            self._provoke(SEARCH_FAULTS)
        self._await_all_cleared()
        self._provoke(INHIBITING)
        self._await_all_cleared()
        self._report_alerts()
        self._report_panels(began)
        self._report_kibana(began)
        self._deployment.load.stop()

    def _deploy(self) -> None:
        deployment = self._deployment
        self._say("Starting the registry (MLflow) and the orchestration (Prefect), and training a champion")
        deployment.stack.start(deployment.services.mlflow(), deployment.services.prefect())
        deployment.jobs.start("train", deployment.name).result()
        version, check = release_checks.check_challenger(Registry(), deployment.name)
        self._check(check)
        deployment.jobs.start("promote", deployment.name, version.version).result()
        self._set_up_search()
        self._say("Serving, shipping, watching")
        deployment.start("ship", "service", "watch")
        self._check(release_checks.check_served(deployment.services, deployment.name, version.version))
        deployment.register_versions(version.version)

    def _set_up_search(self) -> None:
        """Lead the processes that start from now on to Elasticsearch, and write its templates."""
        deployment = self._deployment
        if SEARCH in deployment.servers.programs:
            deployment.start(SEARCH)
            os.environ["ELASTICSEARCH_URL"] = deployment.servers.url(SEARCH)
            settings.cache_clear()
        if is_configured(settings()):
            os.environ["SLIPWAY_SPOOL_LOGS"] = "true"
            deployment.jobs.start("elk", "setup").result()

    def _observe_servers(self) -> None:
        """Start Prometheus and Alertmanager, and wait until all is well."""
        deployment = self._deployment
        deployment.load.start()
        deployment.start("alertmanager", "prometheus")
        scraped = until(lambda: deployment.prometheus.healthy_targets() >= JOBS, QUIET_SECONDS)
        targets = ", ".join(sorted(deployment.prometheus.healthy_targets()))
        self._check(Check("all", "every target is scraped", scraped, targets))
        monitoring.labelled_monitor(deployment)
        delivered = self._webhook.wait(WATCHDOG, FIRING, 0.0, QUIET_SECONDS)
        receivers = {one.receiver for one in self._webhook.deliveries(WATCHDOG, FIRING, 0.0)}
        self._check(Check("all", f"{WATCHDOG} is delivered", delivered, f"to {', '.join(receivers) or 'nobody'}"))
        until(lambda: deployment.prometheus.firing() <= {WATCHDOG}, QUIET_SECONDS)

    def _tell_story(self) -> None:
        """Follow one prediction from its request to the query of Kibana, where there is an Elasticsearch."""
        if not is_configured(settings()):
            self._say("Without an Elasticsearch, no prediction's story is told")
            return
        deployment = self._deployment
        row, label = deployment.load.labelled_row()
        self.result.story += PredictionStory(deployment.name, deployment.services.url("service"), row, label).tell()
        last = self.result.story[-1]
        observed = f"{len(self.result.story)} steps in {last.seconds:.1f} s; the last one: {last.observed}"
        self._check(Check(deployment.name, "one prediction is followed to Kibana", last.held, observed))

    @contextmanager
    def _lasting(self, fault: Fault) -> Iterator[None]:
        """Provoke a fault, wait after the block until its alerts are delivered, and mend it."""
        alerts = {*fault.alerts}
        until(lambda: not self._deployment.prometheus.firing() & alerts, QUIET_SECONDS)
        self._say(f"{fault.what}: {', '.join(fault.alerts)} must fire")
        began = time.time()
        with fault.lasting(self._deployment):
            yield
            missing = [
                alert for alert in fault.alerts if not self._webhook.wait(alert, FIRING, began, DELIVERED_SECONDS)
            ]
        self._lasted.append(_Lasted(fault, began, time.time()))
        self._say(f"  not delivered: {', '.join(missing)}" if missing else "  delivered")

    def _provoke(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            with self._lasting(fault):
                pass

    def _await_all_cleared(self) -> None:
        self._say("Waiting until every alert is cleared")
        until(lambda: self._deployment.prometheus.firing() <= {WATCHDOG}, CLEARED_SECONDS)
        time.sleep(LAST_SAMPLE_SECONDS)

    def _report_alerts(self) -> None:
        end = time.time()
        for lasted in sorted(self._lasted, key=lambda one: one.began):
            for alert in lasted.fault.alerts:
                observed = self._observation(alert, lasted, end)
                self.result.alerts.append(observed)
                self._check(Check(alert, "fires, is delivered and is cleared", observed.held, lasted.fault.what))
        self._check(punctuality(self.result.alerts))

    def _observation(self, alert: str, lasted: _Lasted, end: float) -> AlertObservation:
        """Read from Prometheus and from the deliveries when an alert fired, was delivered, and was cleared."""
        spans = self._deployment.prometheus.spans(alert, lasted.began, end)
        found = [span for span in spans if span.first <= lasted.mended]
        deliveries = self._webhook.deliveries(alert, FIRING, lasted.began)
        cleared = found and found[-1].last < end - LAST_SAMPLE_SECONDS
        return AlertObservation(
            alert,
            lasted.fault.what,
            found[0].first - lasted.began if found else None,
            self._first_delivery(deliveries[0], lasted.began) if deliveries else None,
            tuple(sorted({delivery.receiver for delivery in deliveries})),
            max(0.0, found[-1].last + 1 - lasted.mended) if cleared else None,
        )

    def _first_delivery(self, delivery: Delivery, began: float) -> FirstDelivery:
        """Read since when the expression of a delivered alert held, and what it had to wait for since."""
        prometheus, servers = self._deployment.prometheus, self._deployment.servers
        active = prometheus.active_since(delivery.labels, began, delivery.at)
        pending = pending_seconds(RULES, delivery.labels)
        fired = delivery.at if active is None else active + pending
        # Another window of a burn rate may have fired during the fault, and is of the same group
        known = prometheus.has_fired(delivery.alert, began - RESOLVED_SECONDS, fired - SCRAPE_SECONDS / 2)
        return FirstDelivery(
            active=None if active is None else active - began,
            pending=pending,
            group_wait=servers.group_waits(known)[delivery.receiver],
            arrived=delivery.at - began,
        )

    def _report_panels(self, began: float) -> None:
        deployment = self._deployment
        # It was stopped last, and has nothing to show before its first pass
        until(lambda: bool(deployment.prometheus.instant(WATCHED, time.time())), QUIET_SECONDS)
        self.result.panels += panels.observe(deployment.prometheus, deployment.name, began, time.time())
        empty = panels.empty(self.result.panels)
        slowest = max(one.seconds for one in self.result.panels)
        observed = (
            f"{len(self.result.panels)} queries, the slowest {slowest:.2f} s; empty: {', '.join(empty) or 'none'}"
        )
        self._check(Check("all", "every panel has series", not empty, observed))

    def _report_kibana(self, began: float) -> None:
        if not is_configured(settings()):
            return
        self.result.searched += kibana_panels.search(self._deployment.name, began, time.time())
        empty = kibana_panels.empty(self.result.searched)
        slowest = max(one.milliseconds for one in self.result.searched)
        searches = f"{len(self.result.searched)} searches, the slowest {slowest} ms"
        observed = f"{searches}; empty: {', '.join(empty) or 'none'}"
        self._check(Check("all", "every panel of Kibana has documents", not empty, observed))

    def _check(self, check: Check) -> None:
        self.result.checks.append(check)
        self._say(f"  {'ok' if check.held else 'FAIL'}: {check.subject}, {check.what}: {check.observed}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")


def _require_key() -> None:
    """Make keys necessary, as in production, and give this process and those it starts one for everything."""
    _, key = api_keys.create(settings().key_file, "observe", api_keys.SCOPES)
    os.environ |= {"SLIPWAY_API_KEY": key, "SLIPWAY_SEGMENT_SECONDS": str(SEGMENT_SECONDS)}
    settings.cache_clear()
