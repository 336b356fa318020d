"""Promotion by command: the alias moves if the bundle is intact and its gates passed, or a person overrode them.

The servers check again; the command reports a problem earlier. The alias `canary` is set in the same way, and `slipway
watch` then begins the rollout (monitoring.rollout).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitoring.release.server_status import PollServers, ServerStatus, all_server_statuses, wait_until
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.bundle import gate_report
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION, FIRST_WEIGHT, OVERRIDE, REFUSED
from slipway.errors import GateRefused, NotFound, SettingsError, suggestion
from slipway.settings import Settings, settings

PROMOTABLE = (CHAMPION, CHALLENGER, CANARY)
SETTLE_SECONDS = 6.0  # a follower polls again a version whose refusal a person has just overridden


@dataclass(frozen=True)
class Promotion:
    """Result of a promotion; `replaced` had the alias before, `serving` counts the workers that were waited for."""

    version: ModelVersion
    alias: str
    replaced: str | None
    override: str | None
    serving: int | None = None

    def to_dict(self) -> dict[str, Any]:
        named = {"usecase": self.version.name, "version": self.version.version, "alias": self.alias}
        return named | {"replaced": self.replaced, "override": self.override, "serving": self.serving}


def promote(
    usecase: str, version: str, alias: str = CHAMPION, override: str | None = None, weight: float | None = None
) -> Promotion:
    """Move the alias to the version; a canary begins with `weight` percent, or with the use case's first stage.

    Raises:
        NotFound: no such model or version, or no champion to compare a canary with.
        BundleError: the bundle is not what was registered.
        GateRefused: its gates failed and nobody overrode them, or the version is refused.
        SettingsError: the alias cannot be promoted to, or the override does not name who and why.
    """
    if alias not in PROMOTABLE:
        raise SettingsError(
            f"{alias!r} is no alias to promote to.{suggestion(alias, PROMOTABLE)} Allowed: {', '.join(PROMOTABLE)}."
        )
    _check_override(override)
    registry = Registry()
    aliases = find_model(registry, usecase).aliases
    if alias == CANARY:
        _check_canary(usecase, version, aliases.get(CHAMPION), weight)
    replaced = aliases.get(alias)
    found = _version(registry, usecase, version)
    report = _verified_gates(registry, found)
    reason = override or found.tags.get(OVERRIDE)
    if not report.passed and not reason:
        raise GateRefused(
            f"{usecase} version {version} did not pass its gates: {' '.join(report.reasons)} "
            f"To promote it nevertheless, name who decides and why: `slipway promote {usecase} {version} --override "
            f"'WHO: WHY'`, which sets the version's tag {OVERRIDE}."
        )
    if override and not report.passed:
        registry.set_version_tag(usecase, version, OVERRIDE, override)
    if alias == CANARY:
        _set_first_weight(registry, found, weight)
    registry.set_alias(usecase, alias, version)
    promoted = Promotion(found, alias, replaced, None if report.passed else reason)
    _audit(promoted, report)
    return promoted


def wait_until_served(
    promoted: Promotion, seconds: float, config: Settings | None = None, poll: PollServers = all_server_statuses
) -> Promotion:
    """Return when every worker of every server serves the version.

    Raises:
        SettingsError: the servers of this environment follow another alias.
        ServiceError: a server refused the version, or the time is over; the message describes each server.
    """
    config = config or settings()
    if promoted.alias != config.follow_alias:
        raise SettingsError(
            f"the servers of this environment follow {config.follow_alias}, not {promoted.alias}: leave --wait out."
        )
    settled = time.monotonic() + SETTLE_SECONDS

    def is_refused(statuses: Sequence[ServerStatus]) -> bool:
        refused = any(status.refusals(CHAMPION, promoted.alias, promoted.version) for status in statuses)
        return refused and time.monotonic() >= settled

    workers = wait_until(
        lambda: poll(config.server_urls, promoted.version.name),
        seconds,
        lambda statuses: all(_serves(status, promoted) for status in statuses),
        lambda statuses: (
            f"{promoted.version.name} version {promoted.version.version} has the alias, but "
            f"{'; '.join(_describe(status, promoted) for status in statuses)}."
        ),
        is_refused,
    )
    return replace(promoted, serving=workers)


def find_model(registry: Registry, usecase: str) -> RegisteredModel:
    """Get a registered model. Raises NotFound, which names those that there are."""
    try:
        return registry.model(usecase)
    except NotFound:
        known = [model.name for model in registry.models()]
        hint = suggestion(usecase, known)
        raise NotFound(f"no model {usecase!r} in {registry.uri}.{hint} It has: {', '.join(known) or 'none'}.") from None


def _version(registry: Registry, usecase: str, version: str) -> ModelVersion:
    try:
        return registry.version(usecase, version)
    except NotFound:
        known = [found.version for found in registry.versions(usecase)]
        raise NotFound(f"{usecase} has no version {version!r}. It has: {', '.join(known) or 'none'}.") from None


def _verified_gates(registry: Registry, version: ModelVersion) -> gate_report.GateReport:
    """Read the gate report of a bundle whose every byte was verified."""
    if reason := version.tags.get(REFUSED):
        raise GateRefused(
            f"{version.name} version {version.version} carries the tag {REFUSED}: {reason}. "
            "Once the cause is fixed, delete the tag in the MLflow UI and promote again."
        )
    with tempfile.TemporaryDirectory() as folder:
        registry.fetch_bundle(version, Path(folder))
        return gate_report.read_gate_report(Path(folder))


def _check_canary(usecase: str, version: str, champion: str | None, weight: float | None) -> None:
    if weight is not None and not 0 < weight < 100:
        raise SettingsError(f"--canary {weight:g} is no valid share: give a percentage above 0 and below 100.")
    if champion is None:
        raise NotFound(
            f"{usecase} has no champion to compare a canary with: `slipway promote {usecase} {version}` sets one."
        )
    if champion == version:
        raise SettingsError(f"{usecase} version {version} is already the champion: name another version.")


def _set_first_weight(registry: Registry, version: ModelVersion, weight: float | None) -> None:
    """Set the weight with which the rollout begins, and remove one that was set earlier."""
    if weight is not None:
        registry.set_version_tag(version.name, version.version, FIRST_WEIGHT, f"{weight:g}")
    elif FIRST_WEIGHT in version.tags:
        registry.delete_version_tag(version.name, version.version, FIRST_WEIGHT)


def _audit(promoted: Promotion, report: gate_report.GateReport) -> None:
    version = promoted.version
    who, evidence = audit.person(), {"alias": promoted.alias, "from": promoted.replaced, "to": version.version}
    if promoted.override:
        failed = {"gates": [gate.name for gate in report.gates if gate.failed]}
        audit.append(
            version.name, "overridden", who=who, why=promoted.override, version=version.version, evidence=failed
        )
    audit.append(version.name, "promoted", who=who, version=version.version, evidence=evidence)


def _check_override(override: str | None) -> None:
    who, colon, why = (override or "").partition(":")
    if override is not None and not (colon and who.strip() and why.strip()):
        raise SettingsError(f"--override {override!r} does not name who and why. Write --override 'WHO: WHY'.")


def _serves(status: ServerStatus, promoted: Promotion) -> bool:
    return bool(status.workers) and status.serving(CHAMPION, promoted.version) == len(status.workers)


def _describe(status: ServerStatus, promoted: Promotion) -> str:
    if reasons := status.refusals(CHAMPION, promoted.alias, promoted.version):
        return f"{status.address} refused it: {'; '.join(reasons)}"
    if failures := status.failures(CHAMPION, promoted.version):
        return f"{status.address} cannot load it: {'; '.join(failures)}"
    if status.served is None:
        return status.error
    return (
        f"{status.address} serves it in {status.serving(CHAMPION, promoted.version)} of {len(status.workers)} workers"
    )
