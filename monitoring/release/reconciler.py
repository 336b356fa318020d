"""Keeps registry and servers in agreement: what the servers did with each aliased version stands in its tag, and an
alias that they refused goes back to what serves.

One reconciler per environment. It acts on what it sees twice, some seconds apart: a follower needs a moment to look
again at a version whose refusal a person has just overridden.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitoring.release.server_status import ServerStatus, all_server_statuses
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CANARY, SHADOW
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.settings import Settings
from slipway.timestamps import now_iso

# Where an alias goes back: elsewhere it belongs to production (docs/decisions/0002-whose-alias-goes-back.md)
HOMES_OF_THE_ALIAS = ("production", "local")
SETTLE_SECONDS = 10.0
RECONCILER = "slipway reconciler"
SERVING, LOADING, REFUSED, FAILED, REPLACED = "serving", "loading", "refused", "failed", "replaced"
_log = logging.getLogger("slipway.watch")

LookAtAll = Callable[[Sequence[str], str], list[ServerStatus]]


@dataclass(frozen=True)
class Reconciled:
    """What one pass saw of a use case: its aliases, every server's answer, and what the followed version's tag says."""

    usecase: str
    aliases: dict[str, str]
    looks: list[ServerStatus]
    tag: str = ""
    error: str = ""

    @property
    def serving(self) -> list[str]:
        """The versions that workers serve, the most common first."""
        counts = Counter(worker.version for look in self.looks for worker in look.workers if worker.version)
        return [version for version, _ in counts.most_common()]


class Reconciler:
    """Remembers between passes since when each alias was refused, and so acts once it is sure."""

    def __init__(
        self,
        config: Settings,
        registry: Registry,
        look_at_all: LookAtAll = all_server_statuses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._addresses = config.server_urls
        self._registry = registry
        self._look_at_all = look_at_all
        self._clock = clock
        self._key = f"slipway.serving.{config.environment}"
        self._alias_of = {"champion": config.follow_alias, "canary": CANARY, "shadow": SHADOW}
        self._moves_back = config.environment in HOMES_OF_THE_ALIAS
        self._refused_since: dict[tuple[str, str, str], float] = {}
        self._whole: dict[str, str] = {}

    def once(self, usecase: str) -> Reconciled:
        """One pass; a registry or a log that does not answer is in the result, not raised."""
        looks = self._look_at_all(self._addresses, usecase)
        aliases: dict[str, str] = {}
        try:
            aliases = self._registry.model(usecase).aliases
            tags = {role: self._settle(usecase, role, aliases, looks) for role in self._alias_of}
        except NotFound as error:
            unknown = f"nothing of it is registered yet: `slipway train {usecase}` does that"
            return Reconciled(usecase, aliases, looks, error=str(error) if aliases else unknown)
        except (RegistryError, ServiceError, OSError) as error:
            return Reconciled(usecase, aliases, looks, error=str(error))
        return Reconciled(usecase, aliases, looks, tags["champion"])

    def _settle(self, usecase: str, role: str, aliases: dict[str, str], looks: list[ServerStatus]) -> str:
        """Brings the tag of one role's version up to date, and its alias back where it was refused for long enough."""
        alias = self._alias_of[role]
        number = aliases.get(alias)
        version = self._registry.version(usecase, number) if number else None
        reasons = [reason for look in looks if version for reason in look.refusals(role, alias, version)]
        if not reasons:
            self._refused_since = {key: at for key, at in self._refused_since.items() if key[:2] != (usecase, role)}
        if version is None:
            return ""
        if reasons:
            return self._refused(version, role, f"{REFUSED}: {'; '.join(dict.fromkeys(reasons))}", looks)
        said = self._write(version, served_by(looks, role, version))
        if role == "champion" and said.startswith(SERVING):
            self._retire_others(version)
        return said

    def _refused(self, version: ModelVersion, role: str, said: str, looks: list[ServerStatus]) -> str:
        """Writes the reason first, so that no alias ever moves without one."""
        alias = self._alias_of[role]
        if not self._moves_back or not self._is_sure(version.name, role, version.version):
            return self._write(version, said)
        if self._registry.model(version.name).aliases.get(alias) != version.version:
            return self._write(version, said)  # a person was faster
        if role != "champion":
            written = self._write(version, f"{said} ({alias} was removed)")
            self._tell(version, alias, None, said)
            self._registry.delete_alias(version.name, alias)
            return written
        instead = still_served(looks, alias, version)
        if instead is None:
            return self._write(version, said)
        written = self._write(version, f"{said} ({alias} went back to version {instead})")
        self._tell(version, alias, instead, said)
        self._registry.set_alias(version.name, alias, instead)
        return written

    def _tell(self, version: ModelVersion, alias: str, instead: str | None, why: str) -> None:
        """The audit, before the alias leaves the version."""
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

    def _is_sure(self, usecase: str, role: str, version: str) -> bool:
        since = self._refused_since.setdefault((usecase, role, version), self._clock())
        return self._clock() - since >= SETTLE_SECONDS

    def _write(self, version: ModelVersion, said: str) -> str:
        """The tag as it is then. Only what differs is written: `since` is when it was first so."""
        before = version.tags.get(self._key, "")
        if not said or before == said or before.startswith(f"{said} since "):
            return before
        after = said if said.startswith(REFUSED) else f"{said} since {now_iso()}"
        self._registry.set_version_tag(version.name, version.version, self._key, after)
        _log.info("%s version %s: %s", version.name, version.version, after)
        return after

    def _retire_others(self, version: ModelVersion) -> None:
        """Once every worker serves the version, those that it replaced no longer say that they are served."""
        if self._whole.get(version.name) == version.version:
            return
        for other in self._registry.versions(version.name):
            said = other.tags.get(self._key, "")
            if other.version != version.version and said.startswith((f"{SERVING}:", f"{LOADING}:")):
                self._write(other, f"{REPLACED}: by version {version.version}")
        self._whole[version.name] = version.version


def served_by(looks: Sequence[ServerStatus], role: str, version: ModelVersion) -> str:
    """`serving: 2 of 2 workers`, or why not yet; nothing where no worker has said anything about it."""
    failures = list(dict.fromkeys(reason for look in looks for reason in look.failures(role, version)))
    if failures:
        return f"{FAILED}: {'; '.join(failures)}"
    serving = sum(look.serving(role, version) for look in looks)
    workers = sum(len(look.workers) for look in looks)
    silent = sum(look.served is None for look in looks)
    if not serving:
        return ""
    state = SERVING if serving == workers and not silent else LOADING
    unknown = f", {silent} of {len(looks)} servers do not answer" if silent else ""
    return f"{state}{'' if role == 'champion' else f' as {role}'}: {serving} of {workers} workers{unknown}"


def still_served(looks: Sequence[ServerStatus], alias: str, refused: ModelVersion) -> str | None:
    """What the servers that refused a version serve instead; None where they serve nothing, or nothing else."""
    workers = [worker for look in looks if look.refusals("champion", alias, refused) for worker in look.workers]
    others = Counter(worker.version for worker in workers if worker.version not in (None, "", refused.version))
    return others.most_common(1)[0][0] if others else None
