"""Collector of telemetry, in a thread of its own: a server that hangs holds up no pass of the watch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from monitoring.telemetry.alerts import FiringAlerts, firing
from monitoring.telemetry.history import Budgets, LastHour
from monitoring.telemetry.last_runs import Run, last_runs
from monitoring.telemetry.prometheus_api import DEFAULT_QUANTILE, PrometheusApi
from monitoring.telemetry.scraper import Scraper, Scrapes
from slipway.clients.http import is_healthy, without_login
from slipway.contracts.objectives import Objectives
from slipway.errors import ServiceError
from slipway.settings import Settings

SECONDS = 15.0
"""Interval of collecting, which is that of a usual Prometheus."""
_SOON = 1.0  # until the first pass has found the use cases
_log = logging.getLogger("slipway.watch")


@dataclass(frozen=True)
class UseCaseTelemetry:
    """Telemetry of one use case; None is what is not known yet."""

    hour: LastHour | None = None
    budgets: Budgets | None = None
    objectives: Objectives | None = None
    runs: list[Run] = field(default_factory=list)


@dataclass(frozen=True)
class MonitoringServer:
    """A Prometheus, an Alertmanager or an Elasticsearch; `url` is without a login, `ok` whether it responds."""

    name: str
    url: str
    ok: bool


@dataclass(frozen=True)
class OtherServers:
    """Servers that monitoring uses and this module does not know, and lines for people about them."""

    servers: list[MonitoringServer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Telemetry:
    """Telemetry of all use cases; `alerts` is None without an Alertmanager, `problems` are lines for people."""

    usecases: dict[str, UseCaseTelemetry] = field(default_factory=dict)
    alerts: FiringAlerts | None = None
    problems: list[str] = field(default_factory=list)
    servers: list[MonitoringServer] = field(default_factory=list)


class TelemetryCollector:
    """Collects the telemetry of the use cases that `names` returns; `latest` is what it found last.

    `others` asks further servers.
    """

    def __init__(
        self,
        config: Settings,
        names: Callable[[], Collection[str]],
        scrape: Scrapes | None = None,
        clock: Callable[[], float] = time.monotonic,
        others: Callable[[], OtherServers] = OtherServers,
    ) -> None:
        unknown = FiringAlerts([], error="Alertmanager has not been asked yet.")
        self.latest = Telemetry(alerts=unknown if config.alertmanager_url else None)
        self._config = config
        self._names = names
        self._clock = clock
        self._others = others
        self._scraper = Scraper(config.server_urls, scrape)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def once(self) -> None:
        """Collect once."""
        names, now = self._names(), self._clock()
        problems = self._scraper.once(names, now)
        hours, budgets = self._from_prometheus(problems)
        runs, others = last_runs(self._config, names), self._others()
        self.latest = Telemetry(
            {
                name: UseCaseTelemetry(
                    hours.get(name) or self._remembered_hour(name, now),
                    budgets.get(name) or self._remembered_budgets(name, now),
                    self._scraper.objectives.get(name),
                    runs.get(name, []),
                )
                for name in names
            },
            self._alerts(),
            [*problems, *others.problems],
            [*self._servers(), *others.servers],
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.once()
            except Exception:  # whatever fails now may succeed next time
                _log.exception("telemetry cannot be collected")
            self._stop.wait(SECONDS if self._names() else _SOON)

    def _alerts(self) -> FiringAlerts | None:
        url = self._config.alertmanager_url
        return firing(url, self._config.prometheus_namespace) if url else None

    def _servers(self) -> list[MonitoringServer]:
        urls = {"prometheus": self._config.prometheus_url, "alertmanager": self._config.alertmanager_url}
        return [
            MonitoringServer(name, without_login(url), is_healthy(f"{url}/-/healthy"))
            for name, url in urls.items()
            if url
        ]

    def _from_prometheus(self, problems: list[str]) -> tuple[dict[str, LastHour], dict[str, Budgets]]:
        """What Prometheus has; where it does not respond, what the watch remembers is shown, and the problem."""
        if not self._config.prometheus_url:
            return {}, {}
        client = PrometheusApi(self._config.prometheus_url, self._config.prometheus_namespace)
        try:
            quantiles = {name: one.latency_quantile for name, one in self._scraper.objectives.items()}
            now = time.time()
            return client.last_hours(now, quantiles), client.budgets(now)
        except ServiceError as error:
            problems.append(f"{error} Traffic is what this page itself has counted.")
            return {}, {}
        finally:
            client.close()

    def _remembered_hour(self, name: str, now: float) -> LastHour | None:
        """The minutes that are complete: the scrape was after their end."""
        history, objectives = self._scraper.history.usecases.get(name), self._scraper.objectives.get(name)
        quantile = objectives.latency_quantile if objectives else DEFAULT_QUANTILE
        return history.last_hour(now, quantile) if history else None

    def _remembered_budgets(self, name: str, now: float) -> Budgets | None:
        history, objectives = self._scraper.history.usecases.get(name), self._scraper.objectives.get(name)
        return history.budgets(now, objectives) if history and objectives else None
