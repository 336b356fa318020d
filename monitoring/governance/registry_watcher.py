"""Registry watcher: notices changes that were made without Slipway, and writes them into the audit, by whom unknown.

An alias moved in the MLflow UI, a gate overridden, a refusal lifted, retraining paused, a version deleted or altered.
A change by a command, the rollout or the reconciler has its own audit line by then, and is not written again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from monitoring.governance import registry_snapshot
from monitoring.governance.alias_changes import NOTICED
from monitoring.governance.artifact_check import ArtifactCheck
from monitoring.governance.registry_snapshot import RegistrySnapshot
from monitoring.governance.snapshot_diff import Change, diff
from monitoring.release.reconciler import ALIAS_ENVIRONMENTS
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.errors import NotFound, RegistryError, SlipwayError
from slipway.settings import Settings
from slipway.timestamps import now_iso, parse

LATELY = timedelta(hours=24)
SETTLE_SECONDS = 10.0  # a command that moves an alias writes its line just before or after
_log = logging.getLogger("slipway.watch")


@dataclass
class _Watched:
    """State of a use case: its last snapshot, the stored one, changes that are too recent to be written, and the audit
    lines that already stand for a change."""

    last: RegistrySnapshot
    kept: RegistrySnapshot
    fresh: list[tuple[float, Change]] = field(default_factory=list)
    used: set[tuple[str, object]] = field(default_factory=set)


class RegistryWatcher:
    """Polls a use case once per pass; in an environment that moves no aliases it does nothing."""

    def __init__(self, config: Settings, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._registry = registry
        self._clock = clock
        self._artifacts = ArtifactCheck(registry, clock)
        self._watched: dict[str, _Watched] = {}
        self._moves_aliases = config.environment in ALIAS_ENVIRONMENTS

    def once(self, usecase: str) -> list[str]:
        """Poll the registry, write the changes that have settled, and return the warnings for the status page."""
        try:
            return self._poll(usecase) if self._moves_aliases else []
        except RegistryError:  # the reconciler reports it
            return []
        except (SlipwayError, OSError) as error:
            _log.warning("%s: changes in the registry are not noticed: %s", usecase, error)
            return [f"changes in the registry are not noticed: {error}"]

    def _poll(self, usecase: str) -> list[str]:
        watched = self._watched.get(usecase) or self._begin(usecase)
        versions, now = self._snapshot(usecase, watched.last)
        found = diff(watched.last, now)
        stored = self._artifacts.check_next(versions, now)
        if stored and _is_news(*stored, now):
            now = _with(now, *stored)
            if stored[1]:
                evidence = {"file": stored[0].partition("/")[2]}
                number = stored[0].partition("/")[0]
                found.append(Change("version.altered", number, watched.last.at, stored[1], evidence))
        watched.fresh += [(self._clock(), change) for change in found]
        watched.last = now
        self._record(usecase, watched)
        if not watched.fresh and msgspec.structs.replace(now, at=watched.kept.at) != watched.kept:
            registry_snapshot.write(self._config, usecase, now)
            watched.kept = now
        return _warnings(now)

    def _begin(self, usecase: str) -> _Watched:
        """Read the snapshot of an earlier process, or take the first one."""
        kept = registry_snapshot.read(self._config, usecase)
        if kept is None:
            _, kept = self._snapshot(usecase, None)
            registry_snapshot.write(self._config, usecase, kept)
        return self._watched.setdefault(usecase, _Watched(kept, kept))

    def _snapshot(
        self, usecase: str, before: RegistrySnapshot | None
    ) -> tuple[Sequence[ModelVersion], RegistrySnapshot]:
        at = now_iso()
        try:
            model, versions = self._registry.model(usecase), self._registry.versions(usecase)
        except NotFound:
            return [], registry_snapshot.take_snapshot(at, {}, {}, [], before)
        return versions, registry_snapshot.take_snapshot(at, model.aliases, model.tags, versions, before)

    def _record(self, usecase: str, watched: _Watched) -> None:
        """Write the changes that have settled and that have no audit line yet."""
        sure = self._clock() - SETTLE_SECONDS
        if not any(at <= sure for at, _ in watched.fresh):
            return
        lines = audit.lines(usecase, self._config)
        while watched.fresh and watched.fresh[0][0] <= sure:
            change = watched.fresh[0][1]
            about = change.move or change.action
            matching = [line for line in lines if (line.id, about) not in watched.used and change.is_recorded_by(line)]
            line = matching[0] if matching else self._append(usecase, change)
            watched.used.add((line.id, about))
            watched.fresh.pop(0)

    def _append(self, usecase: str, change: Change) -> audit.AuditLine:
        _log.info("%s: %s, version %s, by %s", usecase, change.action, change.version, change.who)
        return audit.append(
            usecase,
            change.action,
            who=change.who,
            why=change.why,
            version=change.version,
            evidence={**change.evidence, NOTICED: change.since},
            config=self._config,
        )


def _warnings(now: RegistrySnapshot) -> list[str]:
    """Warnings for the status page: alterations, and versions that were deleted in the last day."""
    lately = parse(now.at) - LATELY
    deleted = [version.partition("/")[0] for version, at in now.gone.items() if parse(at) >= lately]
    return [*now.alterations, *(f"version {number} was deleted from the registry." for number in deleted)]


def _is_news(where: str, problem: str | None, now: RegistrySnapshot) -> bool:
    return now.altered.get(where) != problem


def _with(now: RegistrySnapshot, where: str, problem: str | None) -> RegistrySnapshot:
    others = {file: reason for file, reason in now.altered.items() if file != where}
    return msgspec.structs.replace(now, altered={**others, where: problem} if problem else others)
