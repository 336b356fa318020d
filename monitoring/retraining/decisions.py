"""The record of the retraining policy: each start, and each refusal with its reason, as a file beside the verdicts.

`retraining/ENV/USECASE/ID.json` under SLIPWAY_LOG_URL. The id of a start holds its time and its flow run, so that
recording it twice is recording it once. The id of a refusal holds its day, who asked for what, and the rule that
refused: the same one again that day adds to the count of the first, so that a storm of them is a few files.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from slipway import audit
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import iso

STARTED, REFUSED = "started", "refused"
LATEST = "latest.json"
WHO = "slipway policy"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_START = re.compile(rf"(?P<time>\d{{8}}T\d{{6}}\.\d{{6}}Z)-{STARTED}-(?P<run>[\w-]+)\.json")
_RECORD = re.compile(r"\d{8}[\w.-]*\.json")
_NOT_IN_A_NAME = re.compile(r"[^\w-]")


class Decision(msgspec.Struct, frozen=True):
    """What became of an ask: `asked_for` is drift, quality, age or labels, `asked_by` whoever noticed it.

    `at` and `last` are the first and the last time of `times` equal refusals; `rule` names the one that refused, and
    `reason` is a sentence. `version` is the champion of that moment.
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


class Decisions:
    """A use case's decisions in this environment. Every method raises ServiceError or OSError where the log fails."""

    def __init__(self, config: Settings, usecase: str) -> None:
        self._config = config
        self._usecase = usecase
        self._place = object_store(config)
        self._folder = f"retraining/{config.environment}/{usecase}"

    def latest(self) -> Decision | None:
        return self._read(LATEST)

    def recent(self, most: int = 100) -> list[Decision]:
        """The newest decisions, the last one first."""
        names = [name for name in self._place.names(self._folder) if _RECORD.fullmatch(name)]
        found = filter(None, (self._read(name) for name in names[-most:]))
        return sorted(found, key=lambda decision: decision.last, reverse=True)

    def starts(self) -> dict[str, datetime]:
        """The time of every start by its flow run's id, the oldest first."""
        found = {}
        for name in self._place.names(self._folder):
            if start := _START.fullmatch(name):
                found[start["run"]] = datetime.strptime(start["time"], _TIME).replace(tzinfo=UTC)
        return found

    def ask(self, asked_for: str, asked_by: str, version: str | None, evidence: dict[str, Any]) -> None:
        """Say in the audit that a start follows: a log that cannot record one is noticed before."""
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

    def start(self, at: datetime, flow_run_id: str, **said: Any) -> Decision:
        """Record that the flow run was started."""
        decision = self._decision(f"{at:{_TIME}}-{STARTED}-{flow_run_id}", at, STARTED, flow_run_id=flow_run_id, **said)
        self._audit("retraining.started", decision)
        return self._write(decision)

    def refuse(self, at: datetime, rule: str, **said: Any) -> Decision:
        """Record that nothing was started, or count it where the same was refused for the same reason today."""
        name = f"{at:%Y%m%d}-{REFUSED}-{said['asked_for']}-{_NOT_IN_A_NAME.sub('_', said['asked_by'])}-{rule}"
        decision = self._decision(name, at, REFUSED, rule=rule, **said)
        if before := self._read(f"{name}.json"):
            return self._write(msgspec.structs.replace(decision, at=before.at, times=before.times + 1))
        self._audit("retraining.refused", decision)
        return self._write(decision)

    def _decision(self, name: str, at: datetime, outcome: str, **said: Any) -> Decision:
        time = iso(at)
        return Decision(name, time, self._config.environment, self._usecase, outcome, last=time, **said)

    def _write(self, decision: Decision) -> Decision:
        content = msgspec.json.encode(decision)
        for name in (f"{decision.id}.json", LATEST):
            self._place.put(f"{self._folder}/{name}", content)
        return decision

    def _audit(self, action: str, decision: Decision) -> None:
        """Before the record: a process that ends in between says it twice, and never not at all."""
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
        """None, too, for a file that is no decision: what was is recorded anew over it."""
        try:
            return msgspec.json.decode(self._place.read(f"{self._folder}/{name}"), type=Decision)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None


def to_dict(decision: Decision) -> dict[str, Any]:
    return msgspec.to_builtins(decision)
