"""Deployment under observation: one use case, served, watched and loaded, with the servers that monitor it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from scenarios.closed_loop import faulty_models, tampered_version, workspace
from scenarios.harness import shortened_rules
from scenarios.harness.jobs import Jobs
from scenarios.harness.prometheus_client import Prometheus
from scenarios.harness.shortened_servers import ShortenedServers
from scenarios.observability import damaged_version
from scenarios.observability.load import Load
from slipway.clients.mlflow.registry import Registry
from slipway.config import UseCase
from slipway.contracts.registry_names import CHAMPION, REFUSED
from slipway.errors import ServiceError
from slipway.local import LocalServices, Stack, running_stack
from slipway.local.monitoring_servers import RULES
from slipway.system.processes import Process

OBJECTIVES = {"latency_ms": 100}
SEGMENT_SECONDS = 5.0  # a pass of the shipper may be 2 s later
RELOAD_SECONDS = 6.0  # Prometheus takes up what its service discovery finds every 5 s


@dataclass
class Deployment:
    """The parts of the deployment; its version `faulty` fails on some rows, and `damaged` cannot be loaded."""

    usecase: UseCase
    stack: Stack
    services: LocalServices
    servers: ShortenedServers
    jobs: Jobs
    load: Load
    faulty: str = ""
    damaged: str = ""

    @property
    def name(self) -> str:
        """The use case's name."""
        return self.usecase.name

    @property
    def prometheus(self) -> Prometheus:
        return Prometheus(self.servers.url("prometheus"))

    @property
    def registry(self) -> Registry:
        return Registry()

    @property
    def champion(self) -> str:
        """The version that has the alias `champion`."""
        return self.registry.model(self.name).aliases[CHAMPION]

    def start(self, *parts: str) -> None:
        """Start parts, and wait until they are ready."""
        factories: Mapping[str, Callable[[], Process]] = {
            "mlflow": self.services.mlflow,
            "service": partial(self.services.service, [self.name]),
            "ship": partial(self.services.ship, self.servers.ship_port),
            "watch": self.services.watch,
            "prometheus": self.servers.prometheus,
            "alertmanager": self.servers.alertmanager,
            "elasticsearch": self.servers.elasticsearch,
        }
        self.stack.start(*(factories[part]() for part in parts))

    def pid(self, part: str) -> int:
        """Return the process id of a part."""
        state = running_stack(self.services.var)
        return next(one.pid for one in state.parts if one.name == part) if state else 0

    def monitor(self, *options: str) -> None:
        """Run a monitor, which may fail."""
        try:
            self.jobs.start("monitor", self.name, "--no-detailed", *options).result()
        except ServiceError:
            return

    def set_thresholds(self, **changed: float) -> None:
        """Have Prometheus evaluate other thresholds, and wait until they apply; without any, those of the rules.

        They apply when Prometheus has found Alertmanager again, which a reload makes it forget: alerts that fire in
        between are lost until it repeats them.
        """
        shortened_rules.write_thresholds(RULES, self.servers.rules, changed, time.time() + RELOAD_SECONDS)
        os.kill(self.pid("prometheus"), signal.SIGHUP)
        time.sleep(RELOAD_SECONDS)

    def register_versions(self, champion: str) -> None:
        """Register the two versions that faults promote."""
        folder = self.services.var / "versions"
        part = faulty_models.Slice("", "")  # of no fault of this kind
        self.faulty = tampered_version.register(self.name, champion, "errors", part, folder)
        self.damaged = damaged_version.register(self.name, champion, folder)

    def promote(self, version: str, *options: str) -> None:
        """Promote a version, whatever its gates and earlier rollbacks say."""
        if REFUSED in self.registry.version(self.name, version).tags:
            self.registry.delete_version_tag(self.name, version, REFUSED)
        why = "make observe: to see which alert fires"
        self.jobs.start("promote", self.name, version, "--override", why, *options).result()

    def roll_back(self, *options: str) -> None:
        """Roll back the canary, else the champion."""
        self.jobs.start("rollback", self.name, *options).result()


def write_usecase(original: Path, usecases: Path) -> None:
    """Write the closed loop's copy of the use case, with a schedule for its monitor and no promotion by itself."""
    workspace.write(original, usecases)
    path = usecases / original.name / "usecase.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    content |= {"schedule": {"monitor": "* * * * *"}, "auto_promote": False, "objectives": OBJECTIVES}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
