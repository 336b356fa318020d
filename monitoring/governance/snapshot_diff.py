"""Changes of a registered model between two snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monitoring.governance.alias_changes import SLACK, AliasChange, alias_changes
from monitoring.governance.registry_snapshot import RegistrySnapshot, tag_altered
from slipway.audit import UNKNOWN, AuditLine
from slipway.contracts.registry_names import CHALLENGER
from slipway.timestamps import from_ms, parse

TRAINING = "slipway train"


@dataclass(frozen=True)
class Change:
    """A change for the audit, unless it has a line; it happened after `since`, the time of the earlier snapshot."""

    action: str
    version: str | None
    since: str
    why: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    who: str = UNKNOWN
    move: AliasChange | None = None

    def is_recorded_by(self, line: AuditLine) -> bool:
        """Whether the audit line records this change."""
        if parse(line.at) < parse(self.since) - SLACK:
            return False
        if self.move:
            return self.move in alias_changes(line)
        return (line.action, line.version) == (self.action, self.version)


def diff(before: RegistrySnapshot, now: RegistrySnapshot) -> list[Change]:
    """List the changes of aliases, of the retraining switch and of versions."""
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
    """Whether a training set the alias: it does so for the version that it has just registered."""
    version = now.versions.get(target or "")
    if alias != CHALLENGER or version is None:
        return False
    return from_ms(version.created_ms) >= parse(before.at) - SLACK


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
        if new is None or not old.is_of(new.created_ms):
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
    # A version that was registered since the last snapshot may have been overridden by now.
    deleted = {change.version for change in found if change.action == "version.deleted"}
    fresh = now.versions.keys() - (before.versions.keys() - deleted)
    return found + [_override(n, tag, before) for n in sorted(fresh, key=int) if (tag := now.versions[n].override)]


def _override(number: str, tag: str, before: RegistrySnapshot) -> Change:
    who, why = _who_and_why(tag)
    return Change("overridden", number, before.at, why, {"tag": tag}, who)


def _who_and_why(tag: str) -> tuple[str, str]:
    """Split `WHO: WHY`; that the tag names a person does not prove that this person wrote it."""
    who, colon, why = tag.partition(":")
    return (who.strip(), why.strip()) if colon and who.strip() else (UNKNOWN, tag.strip())
