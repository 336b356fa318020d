"""Decisions of the retraining policy: each start, and each refusal with its reason, as a file near the verdicts.

`retraining/ENV/USECASE/ID.json` under SLIPWAY_LOG_URL. The id of a start contains its time and its flow run, so that
recording it twice has no effect. The id of a refusal contains its day, the reason, the source and the rule: the same
refusal on that day increments a count, so that many of them are a few files. A source whose name a file cannot have, or
not on every file system, has a digest behind it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from slipway import audit
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.texts import looks_marked, marked
from slipway.timestamps import iso

STARTED, REFUSED = "started", "refused"
LATEST = "latest.json"
PRUNED = "pruned.json"
WHO = "slipway policy"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_START = re.compile(rf"(?P<time>\d{{8}}T\d{{6}}\.\d{{6}}Z)-{STARTED}-(?P<run>[\w-]+)\.json")
_REFUSAL = re.compile(rf"\d{{8}}-{REFUSED}-[\w.-]+\.json")
_RECORD = re.compile(r"\d{8}[\w.-]*\.json")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_SOURCE = 60


class Decision(msgspec.Struct, frozen=True):
    """Decision on a request: `asked_for` is drift, quality, age or labels, `asked_by` is the source of the request.

    `at` and `last` are the first and the last time of `times` equal refusals; `rule` names the rule that refused, and
    `reason` is a sentence. `version` is the champion at that time.
    """

    id: str
    at: str
    environment: str
    usecase: str
    outcome: Literal["started", "refused"]
    reason: str
    asked_for: str
    asked_by: str
    rule: str = ""
    flow_run_id: str | None = None
    version: str | None = None
    evidence: dict[str, Any] = {}
    times: int = 1
    last: str = ""

    @property
    def started(self) -> bool:
        return self.outcome == STARTED


class PrunedRefusals(msgspec.Struct, frozen=True):
    """Refusals whose records were removed, those of days before `before`; they were made so many `times`."""

    before: str = ""
    times: int = 0


def folder(config: Settings, usecase: str) -> str:
    """Folder of a use case's decisions under SLIPWAY_LOG_URL."""
    return f"retraining/{config.environment}/{usecase}"


class Decisions:
    """Decisions on a use case in this environment. Every method raises ServiceError or OSError if the log fails."""

    def __init__(self, config: Settings, usecase: str) -> None:
        self._config = config
        self._usecase = usecase
        self._store = object_store(config)
        self._folder = folder(config, usecase)

    def latest(self) -> Decision | None:
        """The last decision; None without any."""
        return self._read(LATEST)

    def recent(self, most: int = 100) -> list[Decision]:
        """The newest decisions, latest first."""
        names = [name for name in self._store.names(self._folder) if _RECORD.fullmatch(name)]
        found = filter(None, (self._read(name) for name in names[-most:]))
        return sorted(found, key=lambda decision: decision.last, reverse=True)

    def starts(self) -> dict[str, datetime]:
        """Time of every start by the id of its flow run, oldest first."""
        found = {}
        for name in self._store.names(self._folder):
            if start := _START.fullmatch(name):
                found[start["run"]] = datetime.strptime(start["time"], _TIME).replace(tzinfo=UTC)
        return found

    def refusals(self, since: str = "") -> list[str]:
        """Name the records of refusals, oldest day first: each begins with its day."""
        return [name for name in self._store.names(self._folder) if _REFUSAL.fullmatch(name) and name >= since]

    def pruned(self) -> PrunedRefusals:
        """Read how many refusals have no record any more."""
        try:
            return msgspec.json.decode(self._store.read(f"{self._folder}/{PRUNED}"), type=PrunedRefusals)
        except (FileNotFoundError, ValueError, RecursionError):
            return PrunedRefusals()

    def prune(self, before: datetime) -> int:
        """Remove the records of refusals of earlier days, after these are counted; returns how many are removed."""
        known = self.pruned()
        day = max(f"{before:%Y%m%d}", known.before)
        old = [name for name in self.refusals() if name < day]
        if counted := [name for name in old if name >= known.before]:
            times = known.times + sum(map(self.times, counted))
            self._store.put(f"{self._folder}/{PRUNED}", msgspec.json.encode(PrunedRefusals(day, times)))
        for name in old:
            self._store.remove(f"{self._folder}/{name}")
        return len(old)

    def times(self, refusal: str) -> int:
        """How many equal refusals a record stands for; 0 where it cannot be read as one."""
        found = self._read(refusal)
        return found.times if found else 0

    def record_request(self, asked_for: str, asked_by: str, version: str | None, evidence: dict[str, Any]) -> None:
        """Write into the audit that a start follows: a log that cannot record it is noticed before the start."""
        why = f"{asked_for}, asked by {asked_by}"
        audit.append(
            self._usecase,
            "retraining.asked",
            who=WHO,
            why=why,
            version=version,
            evidence=evidence,
            config=self._config,
        )

    def start(self, at: datetime, flow_run_id: str, **facts: Any) -> Decision:
        """Record the start of a flow run."""
        decision = self._decision(
            f"{at:{_TIME}}-{STARTED}-{flow_run_id}", at, STARTED, flow_run_id=flow_run_id, **facts
        )
        self._audit("retraining.started", decision)
        return self._write(decision)

    def refuse(self, at: datetime, rule: str, **facts: Any) -> Decision:
        """Record a refusal, or increment the count of an equal one of the same day."""
        name = f"{at:%Y%m%d}-{REFUSED}-{facts['asked_for']}-{_in_a_name(facts['asked_by'])}-{rule}"
        decision = self._decision(name, at, REFUSED, rule=rule, **facts)
        if before := self._read(f"{name}.json"):
            return self._write(msgspec.structs.replace(decision, at=before.at, times=before.times + 1))
        self._audit("retraining.refused", decision)
        return self._write(decision)

    def _decision(self, name: str, at: datetime, outcome: str, **facts: Any) -> Decision:
        time = iso(at)
        return Decision(name, time, self._config.environment, self._usecase, outcome, last=time, **facts)

    def _write(self, decision: Decision) -> Decision:
        content = msgspec.json.encode(decision)
        for name in (f"{decision.id}.json", LATEST):
            self._store.put(f"{self._folder}/{name}", content)
        return decision

    def _audit(self, action: str, decision: Decision) -> None:
        """Write the audit line, before the record: a process that ends in between leaves two lines rather than none."""
        audit.append(
            self._usecase,
            action,
            who=WHO,
            why=f"{decision.asked_for}, asked by {decision.asked_by}: {decision.reason}",
            version=decision.version,
            evidence={**decision.evidence, "flow_run_id": decision.flow_run_id, "rule": decision.rule},
            config=self._config,
        )

    def _read(self, name: str) -> Decision | None:
        """Read a decision; None also for a file that is none, which the next record replaces."""
        try:
            return msgspec.json.decode(self._store.read(f"{self._folder}/{name}"), type=Decision)
        except (FileNotFoundError, ValueError, RecursionError):
            return None


def _in_a_name(source: str) -> str:
    """Return the source as a part of a file's name, each as another, also where the file system ignores case."""
    shown = _NOT_IN_A_NAME.sub("_", source)[:_LONGEST_SOURCE]
    return shown if shown == source == source.lower() and not looks_marked(source) else marked(source, shown)


def to_dict(decision: Decision) -> dict[str, Any]:
    return msgspec.to_builtins(decision)
