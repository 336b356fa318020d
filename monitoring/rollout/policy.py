"""Policy of a rollout: the use case's `canary` section, the costs of its labels, and its declared slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slipway import config as usecases
from slipway.config import Canary, UseCase
from slipway.config.schema_builder import from_usecase
from slipway.errors import UseCaseError
from slipway.evaluation.slices import MISSING, declared_values, missing_name

_SHARES = {"errors": 0.25, "time": 0.25, "scores": 0.125, "loss": 0.125}  # of alpha: more for what is urgent
_SLICES = 0.25


@dataclass(frozen=True)
class PolicySlice:
    """A declared slice of the data: each of its `values` is a test. A number is in an interval between the `edges`.

    `missing` is the value of rows that lack the feature; it is a test only where it is one of the `values`.
    """

    feature: str
    values: tuple[str, ...]
    edges: tuple[float, ...] = ()
    missing: str = MISSING


@dataclass(frozen=True)
class Policy:
    """Rules of a use case's rollouts; `classes` are empty for a regression.

    `costs` are those of a false negative and of a false positive, the larger being 1.
    """

    canary: Canary = Canary()
    classes: tuple[str, ...] | None = None
    positive: str | None = None
    costs: tuple[float, float] = (1.0, 1.0)
    slices: tuple[PolicySlice, ...] = ()
    auto_promote: bool = False

    def alpha(self, test: str) -> float:
        """Share of alpha of a test (Bonferroni), whatever the data are; all slices together have a quarter."""
        share = _SHARES.get(test) or _SLICES / sum(len(each.values) for each in self.slices)
        return share * self.canary.alpha

    def next_stage(self, weight: float) -> int | None:
        """The declared stage above a weight; None above the last."""
        return next((stage for stage in self.canary.stages if stage > weight), None)

    def stages(self, first: float) -> list[float]:
        """All stages of a rollout that begins at `first` percent."""
        return [first, *(stage for stage in self.canary.stages if stage > first)]


def load_policy(usecase: str) -> Policy:
    """Load the policy of a use case; without its folder, the default stages and limits, and quality by wrong labels
    alone.

    Raises:
        UseCaseError: its usecase.yaml is invalid.
    """
    if usecase not in usecases.names():
        return Policy()
    found = usecases.load(usecase)
    cost = found.target.cost
    costs = (cost.false_negative, cost.false_positive) if cost and found.target.positive else (1.0, 1.0)
    return Policy(
        found.canary,
        tuple(found.target.classes),
        found.target.positive,
        (costs[0] / max(costs), costs[1] / max(costs)),
        tuple(_slices(found)),
        found.auto_promote,
    )


def load_policy_or_default(usecase: str) -> tuple[Policy, str]:
    """Load the policy and a warning: an invalid file gives the default, since harm must be detected nevertheless."""
    try:
        return load_policy(usecase), ""
    except UseCaseError as error:
        return Policy(), f"{error} The rollout uses the default limits."


def _slices(usecase: UseCase) -> Iterator[PolicySlice]:
    """The slices whose values are known before there is any data: the tests of a rollout must not depend on that."""
    schema = from_usecase(usecase)
    for declared in usecase.gates.slices:
        feature = schema.by_name[declared.feature]
        if values := declared_values(feature, declared.bins):
            is_number = feature.kind in ("number", "integer")
            edges = tuple(declared.bins or ()) if is_number else ()
            yield PolicySlice(feature.name, values, edges, missing_name(feature.vocabulary or ()))
