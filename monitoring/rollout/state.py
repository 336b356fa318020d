"""State of a rollout: the tag `slipway.canary` of the registered model, and nothing else.

Servers read version, weight and salt (bentos.follower.desired_versions): a weight of 0 stops the canary at the
followers' next poll. An `outcome` is written before it is carried out, so that the next process knows what is left.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from slipway.clients.http import decode
from slipway.clients.mlflow.registry import RegisteredModel
from slipway.contracts.registry_names import ROLLOUT
from slipway.timestamps import parse

FINISHED, ROLLED_BACK, ENDED = "finished", "rolled_back", "ended"


Weight = Annotated[float, msgspec.Meta(ge=0, le=100)]


class RolloutState(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of a rollout; `champion` is the version that it is compared with, times are ISO 8601 in UTC.

    `digest` and `champion_digest` are the bundles of both, which say what their numbers do not: a number comes again
    when a version is deleted and another registered. They are empty in a state of an earlier release.
    `began` is the start of the rollout, `since` that of this stage; `stage` counts from 1, `first` is the weight of the
    first one. `salt` decides which units the canary answers, and callers must not know it. With an `outcome`, `why`,
    `who` and `evidence` go into the audit.
    """

    version: str
    weight: Weight
    stage: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    since: str
    began: str
    champion: str
    first: Weight = 0.0
    salt: str = ""
    outcome: str = ""
    why: str = ""
    who: str = ""
    evidence: dict[str, Any] = {}
    digest: str = ""
    champion_digest: str = ""

    def minutes(self, now: datetime) -> float:
        """Minutes of this stage."""
        return (now - parse(self.since)).total_seconds() / 60


def read(model: RegisteredModel) -> RolloutState | None:
    """Read the state from the model's tag; None where there is none, or none that a rollout wrote."""
    try:
        found = decode(model.tags.get(ROLLOUT, "").encode(), RolloutState)
        parse(found.began), parse(found.since)
    except ValueError:
        return None
    return found


def encode(running: RolloutState) -> str:
    """Encode the state as the tag contains it."""
    return msgspec.json.encode(running).decode()
