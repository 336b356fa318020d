"""The previous champion: which version it was, and the rollback to it.

The version that is rolled back is refused first, then the audit line is written, then the alias moves: if the process
ends in between, the same command or the next pass of `slipway watch` completes the rollback, and there is a champion
all the time. If the audit cannot be written, the alias moves all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring.rollout import transitions
from monitoring.rollout.state import ROLLED_BACK
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CHAMPION, REFUSED, serving_tag
from slipway.errors import NotFound, ServiceError
from slipway.settings import Settings
from slipway.timestamps import from_ms, parse


@dataclass(frozen=True)
class ChampionRollback:
    """A champion that is rolled back, the version that replaces it, and who decided so and why."""

    usecase: str
    champion: str
    instead: str
    who: str
    why: str


def restore(registry: Registry, rollback: ChampionRollback, config: Settings) -> None:
    """Refuse the champion and give its alias to the previous one."""
    reason = f"{transitions.TAKEN_BACK}{rollback.who}: {rollback.why}"
    registry.set_version_tag(rollback.usecase, rollback.champion, REFUSED, reason)
    _move_alias(registry, rollback, config)


def resume(registry: Registry, usecase: str, champion: str, config: Settings) -> None:
    """Complete a rollback that was interrupted: the champion is refused for one, and still has the alias."""
    try:
        refused = registry.version(usecase, champion).tags.get(REFUSED, "")
    except NotFound:
        return
    if not refused.startswith(transitions.TAKEN_BACK):
        return
    if instead := find_previous(registry, usecase, champion, config):
        who, _, why = refused.removeprefix(transitions.TAKEN_BACK).partition(": ")
        _move_alias(registry, ChampionRollback(usecase, champion, instead, who, why), config)


def find_previous(registry: Registry, usecase: str, champion: str, config: Settings) -> str | None:
    """Find the previous champion: by the audit, else by the tags of the reconciler."""
    versions = {version.version: version for version in registry.versions(usecase)}
    for number in [*_by_audit(usecase, versions, champion, config), *_by_tags(versions, champion, config)]:
        if number != champion and number in versions and REFUSED not in versions[number].tags:
            return number
    return None


def _move_alias(registry: Registry, rollback: ChampionRollback, config: Settings) -> None:
    """Write the audit line, unless it is the last one already, and move the alias."""
    usecase, champion, instead = rollback.usecase, rollback.champion, rollback.instead
    evidence = {"alias": CHAMPION, "from": champion, "to": instead}
    try:
        last = transitions.audit_lines(usecase, config)[-1:]
        if not any((line.action, line.version, line.evidence) == (ROLLED_BACK, champion, evidence) for line in last):
            facts = {"who": rollback.who, "why": rollback.why, "version": champion, "evidence": evidence}
            audit.append(usecase, ROLLED_BACK, config=config, **facts)
    except (ServiceError, OSError) as error:  # a log that is down must not stop a rollback
        registry.set_alias(usecase, CHAMPION, instead)
        raise ServiceError(
            f"version {instead} is the champion of {usecase} again, but the audit could not be written: {error}"
        ) from error
    registry.set_alias(usecase, CHAMPION, instead)


def _by_audit(usecase: str, versions: dict[str, ModelVersion], champion: str, config: Settings) -> Iterator[str]:
    """The champions before; a line that is older than the version is about another one that had its number."""
    try:
        lines = transitions.audit_lines(usecase, config)
    except (ServiceError, OSError):  # the tags may name it as well
        return
    for line in reversed(lines):
        for moved in [line.evidence, *line.evidence.get("moved", [])]:
            if moved.get("alias") == CHAMPION and str(moved.get("to")) == champion and moved.get("from"):
                version = versions.get(str(moved["from"]))
                if version and parse(line.at) >= from_ms(version.created_ms):
                    yield version.version


def _by_tags(versions: dict[str, ModelVersion], champion: str, config: Settings) -> Iterator[str]:
    for number, version in versions.items():
        state = version.tags.get(serving_tag(config.environment), "")
        if state.startswith(f"replaced: by version {champion} "):
            yield number
