"""Promotion by command: the alias moves once the bundle is whole and its gates passed, or a person overrode them.

The servers check again; this only says so sooner, and to the person who asked. The alias `canary` goes the same way:
`slipway watch` takes it from there (monitoring.rollout).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitoring.release.server_status import ServerStatus, all_server_statuses
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.bundle import gate_report
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.errors import GateRefused, NotFound, ServiceError, SettingsError, suggestion
from slipway.settings import Settings, settings

OVERRIDE, REFUSED = "slipway.override", "slipway.refused"
FIRST_WEIGHT = "slipway.canary_weight"  # of a version: the percent of requests that its rollout begins with
PROMOTABLE = (CHAMPION, CHALLENGER, CANARY)
SETTLE_SECONDS = 6.0  # a follower looks again at a refusal that a person has just overridden
_EVERY_SECONDS = 0.5

LookAtAll = Callable[[Sequence[str], str], list[ServerStatus]]


@dataclass(frozen=True)
class Promotion:
    """`replaced` is the version that had the alias before; `serving` counts the workers that were waited for."""

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
    """Moves the alias to the version; a canary begins with `weight` percent, or with the use case's first stage.

    Raises:
        NotFound: no such model or version, or no champion for a canary to stand beside.
        BundleError: the bundle is not what was registered; GateRefused where its gates failed and nobody overrode it.
        SettingsError: the alias cannot be promoted to, or the override does not say who and why.
    """
    if alias not in PROMOTABLE:
        raise SettingsError(
            f"{alias!r} is no alias to promote to.{suggestion(alias, PROMOTABLE)} There are: {', '.join(PROMOTABLE)}."
        )
    _check_override(override)
    registry = Registry()
    aliases = find_model(registry, usecase).aliases
    if alias == CANARY:
        _check_canary(usecase, version, aliases.get(CHAMPION), weight)
    replaced = aliases.get(alias)
    found = _version(registry, usecase, version)
    verdict = _checked(registry, found)
    standing = override or found.tags.get(OVERRIDE)
    if not verdict.passed and not standing:
        raise GateRefused(
            f"{usecase} version {version} did not pass its gates: {' '.join(verdict.reasons)} "
            f"To promote it all the same, say who decides and why: `slipway promote {usecase} {version} --override "
            f"'WHO: WHY'`, which sets the version's tag {OVERRIDE}."
        )
    if override and not verdict.passed:
        registry.set_version_tag(usecase, version, OVERRIDE, override)
    if alias == CANARY:
        _ask_for_weight(registry, found, weight)
    registry.set_alias(usecase, alias, version)
    promoted = Promotion(found, alias, replaced, None if verdict.passed else standing)
    _write_down(promoted, verdict)
    return promoted


def wait_until_served(
    promoted: Promotion, seconds: float, config: Settings | None = None, look_at_all: LookAtAll = all_server_statuses
) -> Promotion:
    """Returns when every worker of every server serves the version.

    Raises:
        SettingsError: the servers of this environment follow another alias.
        ServiceError: a server refused the version, or the time is over; the message says what each server says.
    """
    config = config or settings()
    if promoted.alias != config.follow_alias:
        raise SettingsError(f"the servers here follow {config.follow_alias}, not {promoted.alias}: leave --wait out.")
    deadline = time.monotonic() + seconds
    settled = time.monotonic() + SETTLE_SECONDS
    while True:
        looks = look_at_all(config.server_urls, promoted.version.name)
        if all(_serves(look, promoted) for look in looks):
            return replace(promoted, serving=sum(len(look.workers) for look in looks))
        refused = any(look.refusals(CHAMPION, promoted.alias, promoted.version) for look in looks)
        now = time.monotonic()
        if now >= deadline or (refused and now >= settled):
            said = "; ".join(_words(look, promoted) for look in looks)
            raise ServiceError(f"{promoted.version.name} version {promoted.version.version} has the alias, but {said}.")
        time.sleep(_EVERY_SECONDS)


def find_model(registry: Registry, usecase: str) -> RegisteredModel:
    """Raises NotFound with what there is."""
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


def _checked(registry: Registry, version: ModelVersion) -> gate_report.GateReport:
    """What the gates said, from a bundle of which every byte was checked."""
    if reason := version.tags.get(REFUSED):
        raise GateRefused(
            f"{version.name} version {version.version} carries the tag {REFUSED}: {reason}. "
            "Once that is mended, delete the tag in the MLflow UI and promote again."
        )
    with tempfile.TemporaryDirectory() as folder:
        registry.fetch_bundle(version, Path(folder))
        return gate_report.read_gate_report(Path(folder))


def _check_canary(usecase: str, version: str, champion: str | None, weight: float | None) -> None:
    if weight is not None and not 0 < weight < 100:
        raise SettingsError(f"--canary {weight:g} is no share to begin with: give percents above 0 and below 100.")
    if champion is None:
        raise NotFound(
            f"{usecase} has no champion for a canary to stand beside: `slipway promote {usecase} {version}` makes one."
        )
    if champion == version:
        raise SettingsError(f"{usecase} version {version} is the champion already: name another version.")


def _ask_for_weight(registry: Registry, version: ModelVersion, weight: float | None) -> None:
    """The rollout begins with it, and with no other that was asked for earlier."""
    if weight is not None:
        registry.set_version_tag(version.name, version.version, FIRST_WEIGHT, f"{weight:g}")
    elif FIRST_WEIGHT in version.tags:
        registry.delete_version_tag(version.name, version.version, FIRST_WEIGHT)


def _write_down(promoted: Promotion, verdict: gate_report.GateReport) -> None:
    version = promoted.version
    who, evidence = audit.person(), {"alias": promoted.alias, "from": promoted.replaced, "to": version.version}
    if promoted.override:
        failed = {"gates": [gate.name for gate in verdict.gates if gate.failed]}
        audit.append(
            version.name, "overridden", who=who, why=promoted.override, version=version.version, evidence=failed
        )
    audit.append(version.name, "promoted", who=who, version=version.version, evidence=evidence)


def _check_override(override: str | None) -> None:
    who, colon, why = (override or "").partition(":")
    if override is not None and not (colon and who.strip() and why.strip()):
        raise SettingsError(f"--override {override!r} does not say who and why. Write --override 'WHO: WHY'.")


def _serves(look: ServerStatus, promoted: Promotion) -> bool:
    return bool(look.workers) and all(worker.version == promoted.version.version for worker in look.workers)


def _words(look: ServerStatus, promoted: Promotion) -> str:
    reasons = look.refusals(CHAMPION, promoted.alias, promoted.version)
    if reasons:
        return f"{look.address} refused it: {'; '.join(reasons)}"
    if failures := look.failures(CHAMPION, promoted.version):
        return f"{look.address} cannot load it: {'; '.join(failures)}"
    if look.served is None:
        return look.error
    return f"{look.address} serves it in {look.serving(CHAMPION, promoted.version)} of {len(look.workers)} workers"
