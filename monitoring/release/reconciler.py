"""Reconciler between the registry and the servers: it writes into the tag of each aliased version what the servers did
with it, and moves an alias that they refused back to the version that they serve.

One reconciler per environment. It moves an alias only after a refusal has lasted some seconds: a follower needs a
moment to poll again a version whose refusal a person has just overridden.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitoring.release.server_status import (
    MAX_REASON,
    PollServers,
    ServerStatus,
    all_server_statuses,
    name_served,
)
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts import registry_names as names
from slipway.contracts.registry_names import CANARY, SHADOW, serving_tag
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.settings import Settings
from slipway.texts import one_line
from slipway.timestamps import now_iso

# Elsewhere the aliases belong to production (docs/decisions/0002-whose-alias-goes-back.md)
ALIAS_ENVIRONMENTS = ("production", "local")
SETTLE_SECONDS = 10.0
RECONCILER = "slipway reconciler"
SERVING, LOADING, REFUSED, FAILED, REPLACED = "serving", "loading", "refused", "failed", "replaced"
_log = logging.getLogger("slipway.watch")


@dataclass(frozen=True)
class Reconciled:
    """Result of a pass over a use case: its aliases, every server's status, and the followed version with its tag."""

    usecase: str
    aliases: dict[str, str]
    statuses: list[ServerStatus]
    tag: str = ""
    error: str = ""
    aliased: ModelVersion | None = None

    @property
    def serving(self) -> list[str]:
        """Versions that workers serve, the most common first."""
        names = (name_served(worker, self.aliased) for status in self.statuses for worker in status.workers)
        return [name for name, _ in Counter(filter(None, names)).most_common()]


class Reconciler:
    """Reconciles a use case per call. It remembers since when each alias is refused, and acts when that has settled."""

    def __init__(
        self,
        config: Settings,
        registry: Registry,
        poll: PollServers = all_server_statuses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._addresses = config.server_urls
        self._registry = registry
        self._poll = poll
        self._clock = clock
        self._key = serving_tag(config.environment)
        self._alias_of = {"champion": config.follow_alias, "canary": CANARY, "shadow": SHADOW}
        self._moves_back = config.environment in ALIAS_ENVIRONMENTS
        self._refused_since: dict[tuple[str, str, str], float] = {}
        self._served_by_all: dict[str, tuple[str, str | None]] = {}

    def once(self, usecase: str) -> Reconciled:
        """Take one pass; a registry or a log that does not respond is in the result, not raised."""
        statuses = self._poll(self._addresses, usecase)
        aliases: dict[str, str] = {}
        try:
            aliases = self._registry.model(usecase).aliases
            versions = {role: self._version(usecase, aliases.get(alias)) for role, alias in self._alias_of.items()}
            tags = {role: self._settle(usecase, role, version, statuses) for role, version in versions.items()}
        except NotFound as error:
            unknown = f"no version is registered yet: `slipway train {usecase}` registers one"
            return Reconciled(usecase, aliases, statuses, error=str(error) if aliases else unknown)
        except (RegistryError, ServiceError, OSError) as error:
            return Reconciled(usecase, aliases, statuses, error=str(error))
        return Reconciled(usecase, aliases, statuses, tags["champion"], aliased=versions["champion"])

    def _version(self, usecase: str, number: str | None) -> ModelVersion | None:
        return self._registry.version(usecase, number) if number else None

    def _settle(self, usecase: str, role: str, version: ModelVersion | None, statuses: list[ServerStatus]) -> str:
        """Update the tag of one role's version, and move its alias back where it was refused for long enough."""
        alias = self._alias_of[role]
        reasons = [reason for status in statuses if version for reason in status.refusals(role, alias, version)]
        if not reasons:
            self._refused_since = {key: at for key, at in self._refused_since.items() if key[:2] != (usecase, role)}
        if version is None:
            return ""
        if reasons:
            reason_line = one_line("; ".join(dict.fromkeys(reasons)), MAX_REASON)
            return self._refused(version, role, f"{REFUSED}: {reason_line}", statuses)
        state = self._write(version, describe_serving(statuses, role, version))
        if role == "champion" and state.startswith(SERVING):
            self._retire_others(version)
        return state

    def _refused(self, version: ModelVersion, role: str, reason: str, statuses: list[ServerStatus]) -> str:
        """Write the reason first, so that no alias ever moves without one."""
        alias = self._alias_of[role]
        if not self._moves_back or not self._has_settled(version, role):
            return self._write(version, reason)
        if elsewhere := find_undecided(statuses, role, alias, version):
            return self._write(version, f"{reason} ({alias} stays: {', '.join(elsewhere)} did not refuse it)")
        if self._registry.model(version.name).aliases.get(alias) != version.version:
            return self._write(version, reason)  # a person was faster
        if role != "champion":
            written = self._write(version, f"{reason} ({alias} was removed)")
            self._audit(version, alias, None, reason)
            self._registry.delete_alias(version.name, alias)
            return written
        instead = self._number_of(version.name, find_still_served(statuses, alias, version))
        if instead is None:
            return self._write(version, reason)
        written = self._write(version, f"{reason} ({alias} went back to version {instead})")
        self._audit(version, alias, instead, reason)
        self._registry.set_alias(version.name, alias, instead)
        return written

    def _number_of(self, usecase: str, digest: str | None) -> str | None:
        """The newest version with this bundle that nobody refused; None where none is in the registry any more."""
        same = (found for found in self._registry.versions(usecase) if found.digest == digest)
        return next((found.version for found in same if names.REFUSED not in found.tags), None)

    def _audit(self, version: ModelVersion, alias: str, instead: str | None, why: str) -> None:
        """Write the audit line, before the alias leaves the version."""
        evidence = {"alias": alias, "from": version.version, "to": instead}
        audit.append(
            version.name,
            "alias.moved_back",
            who=RECONCILER,
            why=why,
            version=version.version,
            evidence=evidence,
            config=self._config,
        )

    def _has_settled(self, version: ModelVersion, role: str) -> bool:
        since = self._refused_since.setdefault((version.name, role, _identity(version)), self._clock())
        return self._clock() - since >= SETTLE_SECONDS

    def _write(self, version: ModelVersion, state: str) -> str:
        """Write the state into the tag where it differs, with the time since when; return the tag."""
        before = version.tags.get(self._key, "")
        if not state or before == state or before.startswith(f"{state} since "):
            return before
        after = state if state.startswith(REFUSED) else f"{state} since {now_iso()}"
        self._registry.set_version_tag(version.name, version.version, self._key, after)
        _log.info("%s version %s: %s", version.name, version.version, after)
        return after

    def _retire_others(self, version: ModelVersion) -> None:
        """Once every worker serves the version, mark those that it replaced."""
        identity = (version.version, version.digest)
        if self._served_by_all.get(version.name) == identity:
            return
        for other in self._registry.versions(version.name):
            state = other.tags.get(self._key, "")
            if other.version != version.version and state.startswith((f"{SERVING}:", f"{LOADING}:")):
                self._write(other, f"{REPLACED}: by version {version.version}")
        self._served_by_all[version.name] = identity


def _identity(version: ModelVersion) -> str:
    """What a version is, whatever its number: its bundle's digest, where it has one."""
    return version.digest or version.version


def describe_serving(statuses: Sequence[ServerStatus], role: str, version: ModelVersion) -> str:
    """Describe how a version is served: `serving: 2 of 2 workers`, or why not; empty where no worker knows it."""
    failures = list(dict.fromkeys(reason for status in statuses for reason in status.failures(role, version)))
    if failures:
        return f"{FAILED}: {one_line('; '.join(failures), MAX_REASON)}"
    serving = sum(status.serving(role, version) for status in statuses)
    workers = sum(len(status.workers) for status in statuses)
    silent = sum(status.served is None for status in statuses)
    if not serving:
        return ""
    state = SERVING if serving == workers and not silent else LOADING
    unknown = f", {silent} of {len(statuses)} servers do not respond" if silent else ""
    return f"{state}{'' if role == 'champion' else f' as {role}'}: {serving} of {workers} workers{unknown}"


def find_undecided(statuses: Sequence[ServerStatus], role: str, alias: str, version: ModelVersion) -> list[str]:
    """Find the servers that load or serve the version and do not refuse it: the refusal may be of another machine."""
    return [
        status.address
        for status in statuses
        if (status.serving(role, version) or status.loading(role, version))
        and not status.refusals(role, alias, version)
    ]


def find_still_served(statuses: Sequence[ServerStatus], alias: str, refused: ModelVersion) -> str | None:
    """Find the bundle that the refusing servers serve instead; None where they serve none, or no other."""
    workers = [
        worker for status in statuses if status.refusals("champion", alias, refused) for worker in status.workers
    ]
    others = Counter(worker.serving for worker in workers if worker.serving not in (None, "", refused.digest))
    return others.most_common(1)[0][0] if others else None
