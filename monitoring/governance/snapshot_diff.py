"""What happened to a registered model between two pictures of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitoring.governance.alias_changes import SLACK, AliasChange, alias_changes, moment
from monitoring.governance.registry_snapshot import RegistrySnapshot, tag_altered
from slipway.audit import UNKNOWN, AuditLine
from slipway.contracts.registry_names import CHALLENGER

TRAINING = "slipway train"


@dataclass(frozen=True)
class Change:
    """What the audit will say, unless somebody has: it happened after `since`, the time of the picture before."""

    action: str
    version: str | None
    since: str
    why: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    who: str = UNKNOWN
    move: AliasChange | None = None

    def is_told_by(self, line: AuditLine) -> bool:
        if moment(line.at) < moment(self.since) - SLACK:
            return False
        if self.move:
            return self.move in alias_changes(line)
        return (line.action, line.version) == (self.action, self.version)


def differences(before: RegistrySnapshot, now: RegistrySnapshot) -> list[Change]:
    return [*_aliases(before, now), *_retraining(before, now), *_versions(before, now)]


def _aliases(before: RegistrySnapshot, now: RegistrySnapshot) -> list[Change]:
    found = []
    for alias in sorted(before.aliases.keys() | now.aliases.keys()):
        source, target = before.aliases.get(alias), now.aliases.get(alias)
        if source != target:
            who, why = (TRAINING, "it passed its gates") if _is_new(alias, target, before, now) else (UNKNOWN, "")
            evidence = {"alias": alias, "from": source, "to": target}
            move = AliasChange(alias, target)
            found.append(Change("alias.moved", target or source, before.at, why, evidence, who, move))
    return found


def _is_new(alias: str, target: str | None, before: RegistrySnapshot, now: RegistrySnapshot) -> bool:
    """Training itself names the challenger, once it has registered it."""
    version = now.versions.get(target or "")
    if alias != CHALLENGER or version is None:
        return False
    return datetime.fromtimestamp(version.created_ms / 1000, UTC) >= moment(before.at) - SLACK


def _retraining(before: RegistrySnapshot, now: RegistrySnapshot) -> list[Change]:
    if before.retraining == now.retraining:
        return []
    if now.retraining is None:
        return [Change("retraining.resumed", None, before.at)]
    who, why = _who_and_why(now.retraining.removeprefix("paused").lstrip(": "))
    return [Change("retraining.paused", None, before.at, why, {"tag": now.retraining}, who)]


def _versions(before: RegistrySnapshot, now: RegistrySnapshot) -> list[Change]:
    found = []
    for number, old in before.versions.items():
        new = now.versions.get(number)
        if new is None:
            facts = {"data_sha256": old.data_sha256, "git_commit": old.git_commit, "run_id": old.run_id}
            evidence = {"bundle_sha256": old.first, **facts}
            found.append(Change("version.deleted", number, before.at, evidence=evidence))
            continue
        if new.digest not in (old.digest, old.first):
            evidence = {"from": old.digest, "to": new.digest}
            found.append(Change("version.altered", number, before.at, tag_altered(number, new), evidence))
        if new.override and new.override != old.override:
            found.append(_override(number, new.override, before))
        if old.refused and not new.refused:
            evidence = {"refused": old.refused}
            found.append(Change("refusal.lifted", number, before.at, evidence=evidence))
    # A version that came since the last look may have been overridden by now.
    fresh = now.versions.keys() - before.versions.keys()
    return found + [_override(n, said, before) for n in sorted(fresh, key=int) if (said := now.versions[n].override)]


def _override(number: str, said: str, before: RegistrySnapshot) -> Change:
    who, why = _who_and_why(said)
    return Change("overridden", number, before.at, why, {"tag": said}, who)


def _who_and_why(said: str) -> tuple[str, str]:
    """`WHO: WHY`, as a tag has it; who wrote the tag is another question."""
    who, colon, why = said.partition(":")
    return (who.strip(), why.strip()) if colon and who.strip() else (UNKNOWN, said.strip())
