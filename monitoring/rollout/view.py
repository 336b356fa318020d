"""View of a rollout for the status page, its JSON and its metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from monitoring.rollout import transitions
from monitoring.rollout.decision import EvidenceResult
from monitoring.rollout.policy import Policy
from monitoring.rollout.state import ROLLED_BACK, RolloutState
from slipway.settings import Settings


@dataclass(frozen=True)
class RolloutView:
    """State of a use case's rollout; `version` is None where none runs.

    `rolled_back` counts all canaries that were rolled back, the last of them at `rolled_back_at` (ISO 8601); `message`,
    which JSON calls `said`, is for people.
    """

    rolled_back: int = 0
    rolled_back_at: str = ""
    version: str | None = None
    champion: str | None = None
    weight: float = 0.0
    stage: int = 0
    stages: list[float] = field(default_factory=list)
    since: str = ""
    began: str = ""
    findings: list[EvidenceResult] = field(default_factory=list)
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["said"] = values.pop("message")
        return values


class RolloutViews:
    """The last view of each use case, with its number of rollbacks, which the audit contains."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._last: dict[str, RolloutView] = {}
        self._rollbacks: dict[str, tuple[int, str]] = {}

    def last(self, usecase: str) -> RolloutView:
        return self._last.get(usecase, RolloutView())

    def keep(self, usecase: str, view: RolloutView) -> RolloutView:
        self._last[usecase] = view
        return view

    def idle(self, usecase: str, message: str = "") -> RolloutView:
        """View without a rollout; it keeps the message of how the last one ended."""
        last = self.last(usecase)
        if last.version:  # a command may have rolled it back
            self._rollbacks.pop(usecase, None)
        return RolloutView(*self._counted(usecase), message=message or ("" if last.version else last.message))

    def waiting(self, usecase: str, reason: str) -> RolloutView:
        """The last view, with the reason why nothing can be decided."""
        last = self.last(usecase)
        return replace(last, message=f"waits: {reason}") if last.version else last

    def rolled_back(self, usecase: str, message: str) -> RolloutView:
        """View after a rollback, which the audit contains by now."""
        self._rollbacks.pop(usecase, None)
        return self.idle(usecase, message)

    def running(
        self,
        usecase: str,
        running: RolloutState,
        policy: Policy,
        message: str,
        results: list[EvidenceResult] | None = None,
    ) -> RolloutView:
        return RolloutView(
            *self._counted(usecase),
            running.version,
            running.champion,
            running.weight,
            running.stage,
            policy.stages(running.first or running.weight),
            running.since,
            running.began,
            results or [],
            message,
        )

    def _counted(self, usecase: str) -> tuple[int, str]:
        """Number of rollbacks and time of the last one, from the audit, so that a restart does not forget them."""
        if usecase not in self._rollbacks:
            lines = transitions.audit_lines(usecase, self._config)
            found = [line for line in lines if line.action == f"canary.{ROLLED_BACK}"]
            self._rollbacks[usecase] = (len(found), found[-1].at if found else "")
        return self._rollbacks[usecase]
