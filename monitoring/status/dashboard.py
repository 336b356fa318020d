"""Dashboard: the services and their health, and the state of each use case, for the status page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from monitoring.release.reconciler import Reconciled
from monitoring.retraining.decisions import Decisions, to_dict
from monitoring.rollout import RolloutView
from monitoring.status.exporter import last_verdict
from monitoring.status.verdict_age import describe_overdue
from monitoring.telemetry.alerts import FiringAlerts
from monitoring.telemetry.collector import MonitoringServer, Telemetry, UseCaseTelemetry
from slipway import local
from slipway.clients.http import is_healthy, without_login
from slipway.contracts.registry_names import CANARY, SHADOW
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.timestamps import now_iso

_log = logging.getLogger("slipway.watch")
_PURPOSES = {
    "mlflow": "runs, models, and the aliases that promote them",
    "prefect": "flows, their runs and schedules",
    "service": "predictions: page, API and metrics",
    "runner": "runs trainings and monitors when they are due",
    "ship": "moves the prediction log to Parquet, and to Elasticsearch where there is one",
    "watch": "this page, its metrics, and the reconciler of aliases",
    "prometheus": "metrics of all servers, and the rules of alerts",
    "alertmanager": "alerts: who is told, and what is silenced",
    "elasticsearch": "search of predictions, labels, log lines and the audit",
}


@dataclass(frozen=True)
class ServiceStatus:
    """Status of a server or process; `ok` is whether it responds, or is alive where it has no address."""

    name: str
    purpose: str
    ok: bool
    url: str | None = None
    log: str | None = None


@dataclass(frozen=True)
class UseCaseStatus:
    """State of a use case: the served versions, the reconciler's result, the last verdict, the last decision on
    retraining, and telemetry."""

    name: str
    versions: list[str]
    alias: str
    aliased: str | None
    workers: int
    tag: str
    source: str
    synthetic: bool
    overridden: list[str]
    trouble: list[str]
    verdict: dict[str, Any] | None
    report: str | None
    retraining: dict[str, Any] | None
    links: dict[str, str]
    rollout: dict[str, Any]
    telemetry: UseCaseTelemetry = field(default_factory=UseCaseTelemetry)

    @property
    def is_served(self) -> bool:
        return bool(self.versions)

    @property
    def is_known(self) -> bool:
        """Whether there is more to show of it than its name."""
        return bool(self.is_served or self.aliased or self.verdict)


@dataclass(frozen=True)
class Dashboard:
    """State of all services and use cases at `created`; `alerts` is None where no Alertmanager is set."""

    environment: str
    created: str
    parts: list[ServiceStatus]
    usecases: list[UseCaseStatus]
    trouble: list[str] = field(default_factory=list)
    alerts: FiringAlerts | None = None

    def to_dict(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)


def gather(
    config: Settings,
    reconciled: Iterable[Reconciled],
    rollouts: Mapping[str, RolloutView] = MappingProxyType({}),
    changed: Mapping[str, list[str]] = MappingProxyType({}),
    telemetry: Telemetry | None = None,
) -> Dashboard:
    """Collect the current state; services that do not respond are marked. A warning of all use cases is shown once.

    `changed` has, by use case, the warnings of what was altered or deleted in the registry.
    """
    passes, found = list(reconciled), telemetry or Telemetry()
    common = set.intersection(*(set(_warnings(one)) for one in passes)) if passes else set()
    usecases = [
        _usecase(
            config,
            one,
            [*changed.get(one.usecase, ()), *(line for line in _warnings(one) if line not in common)],
            rollouts.get(one.usecase, RolloutView()),
            found.usecases.get(one.usecase, UseCaseTelemetry()),
        )
        for one in passes
    ]
    usecases.sort(key=lambda one: (not one.is_served, one.name))
    trouble = [*sorted(common), *found.problems]
    return Dashboard(config.environment, now_iso(), _services(config, found.servers), usecases, trouble, found.alerts)


def _warnings(one: Reconciled) -> list[str]:
    return [*filter(None, [one.error]), *(status.error for status in one.statuses if status.error)]


def _services(config: Settings, monitoring: Iterable[MonitoringServer]) -> list[ServiceStatus]:
    """The servers of the settings, and the processes of the local stack if one runs from this state folder.

    Those of `monitoring` have been asked already: one that hangs holds up no pass.
    """
    state = local.running_stack(config.var)
    processes = {part.name: part for part in state.parts} if state else {}
    logs = {name: part.log for name, part in processes.items()}
    prefect = config.prefect_uri
    servers = [
        ("mlflow", config.registry_uri, "/health"),
        ("prefect", prefect.removesuffix("/api"), "/api/health"),
        *(("service", url, "/readyz") for url in config.server_urls),
    ]
    purposes = {**_PURPOSES, **({"prefect": _with_login(config)} if "prefect" in processes else {})}
    found = [
        ServiceStatus(name, purposes[name], is_healthy(url + health), without_login(url), logs.get(name))
        for name, url, health in servers
    ]
    found += [ServiceStatus(one.name, purposes[one.name], one.ok, one.url, logs.get(one.name)) for one in monitoring]
    named = {part.name for part in found}
    others = [part for name, part in processes.items() if name not in named]
    return found + [
        ServiceStatus(part.name, _PURPOSES.get(part.name, ""), Path(f"/proc/{part.pid}").exists(), None, part.log)
        for part in others
    ]


def _with_login(config: Settings) -> str:
    return f"{_PURPOSES['prefect']}; its page asks for the login in {local.login_file(config.var, 'prefect')}"


def _usecase(
    config: Settings, one: Reconciled, warnings: list[str], rollout: RolloutView, telemetry: UseCaseTelemetry
) -> UseCaseStatus:
    served = [status.served for status in one.statuses if status.served]
    workers = [worker for status in one.statuses for worker in status.workers]
    last = last_verdict(config, one.usecase)
    return UseCaseStatus(
        name=one.usecase,
        versions=one.serving or list(dict.fromkeys(answer.version for answer in served if answer.version)),
        alias=config.follow_alias,
        aliased=one.aliases.get(config.follow_alias),
        workers=len(workers),
        tag=one.tag,
        source=", ".join(sorted({answer.source for answer in served if answer.source})),
        synthetic=any(answer.synthetic for answer in served) or bool(last and last["synthetic"]),
        overridden=list(dict.fromkeys(status.overridden for status in one.statuses if status.overridden)),
        trouble=[*warnings, *describe_overdue(one.usecase, last)],
        verdict=last,
        report=_report(one.usecase, last),
        retraining=_decision(config, one.usecase) if last else None,  # a log that does not respond is waited for once
        links=_links(config, one),
        rollout=rollout.to_dict(),
        telemetry=telemetry,
    )


def _report(usecase: str, last: dict[str, Any] | None) -> str | None:
    return f"/verdicts/{usecase}/{Path(last['report']).name}" if last and last.get("report") else None


def _decision(config: Settings, usecase: str) -> dict[str, Any] | None:
    """The last decision on retraining, with the address of the flow run that it started."""
    try:
        decision = Decisions(config, usecase).latest()
    except (SlipwayError, OSError) as error:
        _log.warning("%s: the last decision on retraining cannot be read: %s", usecase, error)
        return None
    if decision is None:
        return None
    run = decision.flow_run_id
    return {**to_dict(decision), "url": f"{flow_runs(config)}/{run}" if run else None}


def flow_runs(config: Settings) -> str:
    """Address of Prefect's page of a flow run, or GitHub's of a workflow's, without the id."""
    if config.retraining_repository:
        server = config.github_api.replace("://api.", "://").removesuffix("/api/v3")
        return f"{server}/{config.retraining_repository}/actions/runs"
    return f"{config.prefect_uri.removesuffix('/api')}/runs/flow-run"


def _links(config: Settings, one: Reconciled) -> dict[str, str]:
    """Links of a use case, by their text."""
    served = next((status.address for status in one.statuses if status.served), None)
    links = {"try it": f"{served}/#{one.usecase}"} if served else {}
    if candidate := next((alias for alias in (SHADOW, CANARY) if alias in one.aliases), None):
        links[f"{candidate} and champion"] = f"/shadow/{one.usecase}"
    if one.aliases:
        links["versions in MLflow"] = f"{config.registry_uri}/#/models/{one.usecase}"
    links["retraining decisions"] = f"/retraining/{one.usecase}"
    return links
