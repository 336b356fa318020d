"""Prometheus and Alertmanager on shortened rules and waits, for scenarios whose stages last seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scenarios.harness import shortened_rules
from slipway.local.monitoring_servers import RULES, MonitoringServers
from slipway.system.files import write_text
from slipway.system.processes import Process

SCRAPE_SECONDS = 1
SERVING = "serving"


@dataclass(frozen=True)
class ShortenedServers(MonitoringServers):
    """Servers that scrape and evaluate every second; those of the service that are scraped are named in a file."""

    @property
    def rules(self) -> Path:
        """The folder of the rules that are evaluated."""
        return self.local.var / "prometheus" / "rules"

    def group_waits(self, known: bool) -> dict[str, float]:
        """By receiver, how many seconds at most Alertmanager waits with an alert of a new group, or of a known one."""
        route = yaml.safe_load((RULES.parent / "alertmanager.yml").read_text())["route"]
        name = "group_interval" if known else "group_wait"
        return shortened_rules.waits_of_receivers(shortened_rules.shorten_waits(route), name)

    def serve_from(self, *ports: int) -> None:
        """Have Prometheus scrape the service on these ports."""
        targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}] if ports else []
        write_text(self._targets_file, json.dumps(targets), durable=False)

    def prometheus(self) -> Process:
        """Prometheus, which sends alerts again as soon: what fires just after a reload finds no Alertmanager yet."""
        process = super().prometheus()
        return replace(process, argv=(*process.argv, f"--rules.alert.resend-delay={SCRAPE_SECONDS}s"))

    def prometheus_configuration(self) -> dict[str, Any]:
        """The configuration with short intervals, the shortened rules, and the service's targets in a file."""
        shortened_rules.write_rules(RULES, self.rules)
        self.serve_from(self.local.ports["service"])
        found = super().prometheus_configuration()
        every = f"{SCRAPE_SECONDS}s"
        found["global"] = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        found["rule_files"] = [str(self.rules / "*.yml")]
        for job in found["scrape_configs"]:
            job.pop("scrape_interval", None)
            if job["job_name"] == SERVING:
                del job["static_configs"]
                job["file_sd_configs"] = [{"files": [str(self._targets_file)], "refresh_interval": every}]
        return found

    def alertmanager_configuration(self) -> dict[str, Any]:
        """The configuration with short waits."""
        found = super().alertmanager_configuration()
        return {**found, "route": shortened_rules.shorten_waits(found["route"])}

    @property
    def _targets_file(self) -> Path:
        return self._folder("prometheus") / "serving.json"


def shortened_servers(servers: MonitoringServers) -> ShortenedServers:
    """Make the same servers shortened ones."""
    return ShortenedServers(servers.local, servers.programs, servers.ports)
