"""The state of a rollout: the tag `slipway.canary` of the registered model, and nothing else.

Servers read version and weight (bentos.follower.desired_versions): a weight of 0 stops the canary within a look of the
followers. An `outcome` is written before anything that follows from it is done, so whoever comes next knows what is
left to do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from slipway.clients.mlflow.registry import RegisteredModel
from slipway.contracts.registry_names import ROLLOUT
from slipway.timestamps import parse

FINISHED, ROLLED_BACK, ENDED = "finished", "rolled_back", "ended"


class RolloutState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`champion` is the version that it is compared with; times are ISO 8601, UTC.

    `began` is when the rollout began, `since` when this stage did; `stage` counts from 1, `first` is the first one's
    weight. With an `outcome`, `why`, `who` and `evidence` are what the audit will say.
    """

    version: str
    weight: float
    stage: int
    since: str
    began: str
    champion: str
    first: float = 0.0
    outcome: str = ""
    why: str = ""
    who: str = ""
    evidence: dict[str, Any] = {}

    def minutes(self, now: datetime) -> float:
        """Of this stage."""
        return (now - parse(self.since)).total_seconds() / 60


def read(model: RegisteredModel) -> RolloutState | None:
    """None where there is none, or none that a rollout wrote."""
    try:
        found = msgspec.json.decode(model.tags.get(ROLLOUT, ""), type=RolloutState)
        parse(found.began), parse(found.since)
    except (msgspec.DecodeError, ValueError):
        return None
    return found


def encode(running: RolloutState) -> str:
    return msgspec.json.encode(running).decode()
