"""History of a use case: events and who caused them, the current state, and whether it is what was registered.

Its sources are the registry's versions and tags, the audit, and the verdicts of monitoring runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from monitoring.analysis import verdict
from monitoring.governance import audit_copies
from monitoring.governance.alias_changes import occurred_at
from monitoring.governance.integrity import IntegrityReport, check_versions
from monitoring.release.server_status import PollServers, ServerStatus, all_server_statuses
from slipway import audit, audit_store
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts import registry_names
from slipway.contracts.registry_names import SERVING_PREFIX
from slipway.errors import DataError, NotFound, RegistryError, suggestion
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import from_ms, iso, parse, parse_name


@dataclass(frozen=True)
class Event:
    """An event of the history; `action` is one of the audit's, or `registered`, `serving` or `verdict`."""

    at: str
    action: str
    version: str | None
    who: str
    why: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Events, current state and problems of a use case.

    `versions` are those of the registry, the newest first; `servers` has what the workers of each server serve, or its
    error. `problems` name altered bytes, versions that are gone, and differences between the two copies of the audit.
    `warnings` name aliases that are not what they look like, and say why the audit was not compared.
    """

    usecase: str
    environment: str
    events: list[Event]
    aliases: dict[str, str]
    tags: dict[str, str]
    versions: list[dict[str, Any]]
    servers: list[dict[str, Any]]
    audit: dict[str, Any]
    problems: list[str]
    warnings: list[str] = field(default_factory=list)

    @property
    def is_verified(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verified": self.is_verified}


def gather(
    usecase: str, config: Settings, since: datetime | None = None, poll: PollServers = all_server_statuses
) -> History:
    """Collect the history, and check every byte of every version; `since` leaves out older events only.

    Raises:
        NotFound: nothing of that name was ever registered or audited.
        RegistryError: the registry does not respond.
        ServiceError, OSError: the log cannot be read.
    """
    registry = Registry(config.registry_uri)
    lines, problems = readable_lines(usecase, config)
    aliases, tags, versions = _registered(registry, usecase, bool(lines))
    checked = check_versions(registry, config, usecase, versions, lines)
    copies = audit_copies.compare(config, usecase)
    facts = [version_facts(registry, version, checked[version.version]) for version in versions]
    registered = {found["version"]: found["registered"] for found in facts}
    events = [
        *(_registration(found) for found in facts),
        *(_of_line(line, registered.get(line.version or "", "")) for line in lines if not _is_state(line)),
        *(event for version in versions for event in _serving(version)),
        *verdicts(usecase, config, since),
    ]
    gone = [each.problem for number, each in checked.items() if each.problem]
    return History(
        usecase,
        config.environment,
        sorted((event for event in events if since is None or parse(event.at) >= since), key=lambda e: parse(e.at)),
        aliases,
        {key: value for key, value in tags.items() if key.startswith(registry_names.PREFIX)},
        facts,
        [_server(status) for status in poll(config.server_urls, usecase)],
        {"lines": copies.lines, "pending": copies.pending, "copy": copies.copy, "compared": copies.compared},
        [*gone, *problems, *copies.problems],
        [*registry_names.describe_lookalikes(aliases, config.follow_alias), *copies.warnings],
    )


def readable_lines(usecase: str, config: Settings) -> tuple[list[audit.AuditLine], list[str]]:
    """The valid lines of the audit, and the problems of the others."""
    lines, problems = [], []
    for name, content in audit_store.stored(config, usecase).items():
        try:
            lines.append(audit.decode_line(name, content))
        except DataError as error:
            problems.append(str(error))
    return lines, problems


def _registered(
    registry: Registry, usecase: str, known: bool
) -> tuple[dict[str, str], dict[str, str], list[ModelVersion]]:
    """Aliases, tags and versions; empty for a deleted model, if it is `known` that there was one."""
    try:
        model = registry.model(usecase)
        return model.aliases, model.tags, registry.versions(usecase)
    except NotFound:
        if known:
            return {}, {}, []
        names = [model.name for model in registry.models()]
        hint = suggestion(usecase, names)
        raise NotFound(
            f"{usecase!r} has no history: {registry.uri} has no model of that name, and nothing was audited.{hint} "
            f"It has: {', '.join(names) or 'none'}."
        ) from None


def version_facts(registry: Registry, version: ModelVersion, checked: IntegrityReport) -> dict[str, Any]:
    """Facts of a version: its data, commit, run, gates and production rows, and the tags of people and servers."""
    tags = version.tags
    return {
        "version": version.version,
        "registered": iso(from_ms(version.created_ms)),
        "digest": version.digest,
        "data_sha256": tags.get(registry_names.DATA_SHA256),
        "git_commit": tags.get(registry_names.GIT_COMMIT),
        "run_id": version.run_id,
        "run_key": tags.get(registry_names.RUN_KEY),
        "gate": tags.get(registry_names.GATE),
        "gates": checked.gates,
        "production_rows": _production_rows(registry, version),
        "override": tags.get(registry_names.OVERRIDE),
        "refused": tags.get(registry_names.REFUSED),
        "serving": _serving_tags(version),
        "verified": checked.problem is None,
        "problem": checked.problem,
    }


def _production_rows(registry: Registry, version: ModelVersion) -> int | None:
    """Number of labelled production rows in the training; None where the run does not contain it, or is gone."""
    try:
        tags = registry.run(version.run_id).data.tags
    except RegistryError:
        return None
    count = next((tag.value for tag in tags if tag.key == registry_names.PRODUCTION_ROWS), "")
    return int(count) if re.fullmatch(r"[0-9]{1,18}", count) else None


def _of_line(line: audit.AuditLine, registered: str) -> Event:
    """Event of an audit line, placed after the registration of its version and before what followed from it."""
    at = max(filter(None, [occurred_at(line), registered if line.at > registered else ""]), key=parse)
    return Event(at, line.action, line.version, line.who, line.why, line.evidence)


def _is_state(line: audit.AuditLine) -> bool:
    """Whether the line is about a tag of the reconciler or the rollout, whose deeds have events of their own."""
    tag = str(line.evidence.get("tag", ""))
    return tag == registry_names.ROLLOUT or tag.startswith(SERVING_PREFIX)


def _registration(facts: dict[str, Any]) -> Event:
    evidence = {key: facts[key] for key in ("data_sha256", "git_commit", "run_id", "digest", "gate", "production_rows")}
    who = "slipway train" if facts["run_key"] else audit.UNKNOWN
    return Event(facts["registered"], "registered", facts["version"], who, describe_provenance(facts), evidence)


def describe_provenance(facts: dict[str, Any]) -> str:
    """Describe what a version was made from: `data 1a2b3c4d, commit 94c902f, gates: 6 passed, 523 production rows`."""
    gates = facts["gates"] or []
    counts = [
        f"{sum(gate['verdict'] == kind for gate in gates)} {kind}"
        for kind in ("passed", "waived", "failed")
        if any(gate["verdict"] == kind for gate in gates)
    ]
    parts = [
        f"data {facts['data_sha256'][:8]}" if facts["data_sha256"] else "data unknown",
        f"commit {facts['git_commit'][:8]}" if facts["git_commit"] else "commit unknown",
        f"gates: {', '.join(counts) or facts['gate'] or 'unknown'}",
    ]
    if facts["production_rows"]:
        parts.append(f"{facts['production_rows']:,} production rows")
    return ", ".join(parts)


def _serving(version: ModelVersion) -> Iterable[Event]:
    """Last report of the servers of each environment on the version, where the tag has its time."""
    for environment, state in _serving_tags(version).items():
        what, _, since = state.rpartition(" since ")
        if what:
            yield Event(since, "serving", version.version, f"servers of {environment}", what)


def _serving_tags(version: ModelVersion) -> dict[str, str]:
    """What the servers of each environment reported of the version, by environment."""
    found = {key: state for key, state in version.tags.items() if key.startswith(SERVING_PREFIX)}
    return {key.removeprefix(SERVING_PREFIX): state for key, state in found.items()}


def verdicts(usecase: str, config: Settings, since: datetime | None) -> Iterable[Event]:
    """Verdicts of drift, or of predictions that are worse than on the reference."""
    at, folder = object_store(config), verdict.folder(config, usecase)
    for name in at.names(folder):
        created = _created(name)
        if created is None or (since and created < since):
            continue
        found = json.loads(at.read(f"{folder}/{name}"))
        quality = found["quality"] or {"metrics": {}, "sentence": ""}
        worse = [metric for metric, score in quality["metrics"].items() if score["worse"]]
        if found["verdict"] == verdict.DRIFT or worse:
            why = " ".join([found["sentence"], *([quality["sentence"]] if worse else [])])
            evidence = {"drifted": found["drifted"], "worse": worse, "report": found["report"]}
            yield Event(found["created"], "verdict", found["version"], "slipway monitor", why, evidence)


def _created(name: str) -> datetime | None:
    """Time of a verdict, from the name of its file; None for any other file."""
    try:
        return parse_name(name.removesuffix(".json"))
    except ValueError:
        return None


def _server(status: ServerStatus) -> dict[str, Any]:
    workers = [
        {"version": worker.version, "digest": worker.serving, "since": worker.since} for worker in status.workers
    ]
    return {"address": status.address, "workers": workers, "error": status.error}
