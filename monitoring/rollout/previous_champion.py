"""The champion before: which version it was, and the way back to it.

The version that is taken back is refused first, then it is written down, then the alias moves: whatever ends a process
in between, the same command or the next pass of `slipway watch` does the rest, and there is a champion all the time.
Where it cannot be written down, the alias moves all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitoring.release.promotion import REFUSED
from monitoring.rollout import transitions
from monitoring.rollout.state import ROLLED_BACK
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.errors import NotFound, ServiceError
from slipway.settings import Settings


def give_back(
    registry: Registry, usecase: str, champion: str, instead: str, who: str, why: str, config: Settings
) -> None:
    registry.set_version_tag(usecase, champion, REFUSED, f"{transitions.TAKEN_BACK}{who}: {why}")
    _move(registry, usecase, champion, instead, config, who, why)


def complete(registry: Registry, usecase: str, champion: str, config: Settings) -> None:
    """Do the rest of a rollback that was ended in its middle: the champion was taken back, and still has the alias."""
    try:
        refused = registry.version(usecase, champion).tags.get(REFUSED, "")
    except NotFound:
        return
    if not refused.startswith(transitions.TAKEN_BACK):
        return
    if instead := before(registry, usecase, champion, config):
        who, _, why = refused.removeprefix(transitions.TAKEN_BACK).partition(": ")
        _move(registry, usecase, champion, instead, config, who, why)


def before(registry: Registry, usecase: str, champion: str, config: Settings) -> str | None:
    """The version that was the champion before: by the audit, else by what the reconciler wrote into the tags."""
    versions = {version.version: version for version in registry.versions(usecase)}
    for number in [*_by_audit(usecase, champion, config), *_by_tags(versions, champion, config)]:
        if number != champion and number in versions and REFUSED not in versions[number].tags:
            return number
    return None


def _move(registry: Registry, usecase: str, champion: str, instead: str, config: Settings, who: str, why: str) -> None:
    evidence = {"alias": CHAMPION, "from": champion, "to": instead}
    try:
        last = transitions.lines(usecase, config)[-1:]
        if not any((line.action, line.version, line.evidence) == (ROLLED_BACK, champion, evidence) for line in last):
            audit.append(usecase, ROLLED_BACK, who=who, why=why, version=champion, evidence=evidence, config=config)
    except (ServiceError, OSError) as error:  # a log that is away holds up no rollback
        registry.set_alias(usecase, CHAMPION, instead)
        raise ServiceError(
            f"version {instead} is the champion of {usecase} again, but the audit could not be written: {error}"
        ) from error
    registry.set_alias(usecase, CHAMPION, instead)


def _by_audit(usecase: str, champion: str, config: Settings) -> Iterator[str]:
    try:
        lines = transitions.lines(usecase, config)
    except (ServiceError, OSError):  # the tags may know it, too
        return
    for line in reversed(lines):
        for moved in [line.evidence, *line.evidence.get("moved", [])]:
            if moved.get("alias") == CHAMPION and str(moved.get("to")) == champion and moved.get("from"):
                yield str(moved["from"])


def _by_tags(versions: dict[str, ModelVersion], champion: str, config: Settings) -> Iterator[str]:
    for number, version in versions.items():
        said = version.tags.get(f"slipway.serving.{config.environment}", "")
        if said.startswith(f"replaced: by version {champion} "):
            yield number
