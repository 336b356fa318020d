"""How often retraining was started and refused, counted from the records of decisions."""

from __future__ import annotations

from datetime import UTC, datetime

from monitoring.retraining.decisions import REFUSED, STARTED, Decisions
from slipway.settings import Settings


class DecisionCounts:
    """Counts of each use case. A refusal's record of an earlier day does not change, and is read once."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._known: dict[str, dict[str, int]] = {}

    def of(self, usecase: str) -> dict[str, int]:
        """Count the decisions by `started` and `refused`. Raises ServiceError or OSError if the log fails."""
        decisions = Decisions(self._config, usecase)
        known, today = self._known.get(usecase, {}), f"{datetime.now(UTC):%Y%m%d}"
        pruned = decisions.pruned()
        refusals = decisions.refusals(since=pruned.before)
        times = {name: known[name] if name in known else decisions.times(name) for name in refusals}
        self._known[usecase] = {name: count for name, count in times.items() if name < today}
        return {STARTED: len(decisions.starts()), REFUSED: pruned.times + sum(times.values())}
