"""Trace of one prediction: the version that made it, its data, commit and gates, and who gave it its alias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec

from monitoring.governance.alias_changes import SLACK, AliasChange, last_change, occurred_at, proven_actor
from monitoring.governance.history import readable_lines, version_facts
from monitoring.governance.integrity import DELETED, IntegrityReport, check_versions, describe_deleted
from monitoring.governance.traced_event import TRACED_FIELDS, first_label
from slipway.audit import AuditLine
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.errors import NotFound
from slipway.ids import made_ms
from slipway.prediction_log import Log, describe
from slipway.settings import Settings
from slipway.timestamps import CLOCKS_APART, from_ms, iso, parse


@dataclass(frozen=True)
class Trace:
    """Everything that is known of a prediction.

    `answers` are the events of every role, the one that the caller got first; `label` is the ground truth, if known.
    `stands_on` has the facts of the version, None where it is no longer in the registry; `put_there` is the audit line
    of the alias change that brought the version into service, whose `who` is only what its writer says; `promoter` is
    who made the change, as far as it is proven.
    """

    usecase: str
    id: str
    answers: list[dict[str, Any]]
    label: dict[str, Any] | None
    stands_on: dict[str, Any] | None
    put_there: AuditLine | None
    promoter: str
    problems: list[str]

    @property
    def is_verified(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "put_there": msgspec.to_builtins(self.put_there), "verified": self.is_verified}


def trace(usecase: str, id: str, config: Settings) -> Trace:
    """Trace a prediction by its id.

    Raises:
        NotFound: the log has no prediction with that id.
        RegistryError: the registry does not respond.
        ServiceError, OSError: the log cannot be read.
    """
    log = Log(config)
    answers = _answers(usecase, id, log)
    if not answers:
        raise NotFound(
            f"the prediction log of {usecase} in {config.environment} has no prediction with the id {id!r}. An id is "
            "in the response as `id`; the event is in the log within a second, unless it was removed, pruned by "
            "`monitoring.retention_days`, or lost. " + describe(log.left_out)
        )
    return trace_events(usecase, id, answers, _label(usecase, id, answers[0]["key"], config), config)


def trace_events(
    usecase: str, id: str, answers: list[dict[str, Any]], label: dict[str, Any] | None, config: Settings
) -> Trace:
    """Trace a prediction whose events and label are known; of those, the first is the one that the caller got.

    Raises:
        RegistryError: the registry does not respond.
        ServiceError, OSError: the audit cannot be read.
    """
    first, registry = answers[0], Registry(config.registry_uri)
    lines, problems = readable_lines(usecase, config)
    version = _version(registry, usecase, first)
    gone = IntegrityReport(problem=describe_deleted(first["version"], lines, first["digest"]))
    made = check_versions(registry, config, usecase, [version], [])[version.version] if version else gone
    lines = _lines_about(version, first, lines)
    change = AliasChange(config.follow_alias if first["role"] == "champion" else first["role"], first["version"])
    if version and version.digest != first["digest"]:
        problems.append(
            f"the bundle of the prediction had the digest {first['digest'][:12]}; version {version.version} has "
            f"{(version.digest or 'none')[:12]} in the registry."
        )
    return Trace(
        usecase,
        id,
        answers,
        label,
        version_facts(registry, version, made) if version else None,
        last_change(lines, change, first["at"]),
        proven_actor(lines, change, first["at"]),
        [*filter(None, [made.problem]), *problems],
    )


def _answers(usecase: str, id: str, log: Log) -> list[dict[str, Any]]:
    names = ", ".join(f'"{name}"' for name in TRACED_FIELDS.values())
    found = log.having(usecase, {"slipway.row_id": id}, *_times(id)).select(names).fetchall()
    answers = [dict(zip(TRACED_FIELDS, row, strict=True)) for row in found]
    for answer in answers:
        answer["at"] = iso(answer["at"], "microseconds")
    return sorted(answers, key=lambda answer: (not answer["answered"], answer["at"]))


def _label(usecase: str, id: str, key: str | None, config: Settings) -> dict[str, Any] | None:
    return first_label(Log(config).labelled_row(usecase, id, key, _times(id)[0]))


def _times(id: str) -> tuple[datetime | None, datetime | None]:
    """Range of times of the event, from its id, which begins with the time when the server made it."""
    milliseconds = made_ms(id)
    if milliseconds is None:
        return None, None
    made = from_ms(milliseconds)
    return made - CLOCKS_APART, made + CLOCKS_APART


def _lines_about(
    version: ModelVersion | None, answer: dict[str, Any], lines: Sequence[AuditLine]
) -> Sequence[AuditLine]:
    """The lines that can be about the version: from before its registration, or from before the deletion of another
    one that had its number, they are about that one."""
    others = [
        parse(occurred_at(line))
        for line in lines
        if (line.action, line.version) == (DELETED, answer["version"])
        and line.evidence.get("bundle_sha256") != answer["digest"]
        and parse(occurred_at(line)) <= parse(answer["at"])
    ]
    registered = [from_ms(version.created_ms) - SLACK] if version else []
    since = max([*others, *registered], default=None)
    return lines if since is None else [line for line in lines if parse(line.at) > since]


def _version(registry: Registry, usecase: str, answer: dict[str, Any]) -> ModelVersion | None:
    """The version that made the prediction, whatever its number is by now; None where it is gone.

    It has the bundle's digest, unless its tag was altered. One that was registered later is another one: a number comes
    again when a version is deleted, or the model trained anew.
    """
    try:
        versions = registry.versions(usecase)
    except NotFound:
        return None
    numbered = [version for version in versions if version.version == answer["version"]]
    same = [version for version in [*numbered, *versions] if version.digest == answer["digest"]]
    older = [version for version in numbered if from_ms(version.created_ms) <= parse(answer["at"])]
    return next(iter([*same, *older]), None)
