"""Policy of a rollout: the use case's `canary` section, the costs of its labels, and its declared slices."""

from __future__ import annotations

from dataclasses import dataclass

from slipway import config as usecases
from slipway.config import Canary, Feature, UseCase
from slipway.contracts.schema import bin_labels
from slipway.errors import UseCaseError

_SHARES = {"errors": 0.25, "time": 0.25, "scores": 0.125, "loss": 0.125}  # of alpha: more for what is urgent
_SLICES = 0.25


@dataclass(frozen=True)
class Part:
    """A declared slice: each of its `values` is a test. A number falls between the `edges`."""

    feature: str
    values: tuple[str, ...]
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Policy:
    """Rules of a use case's rollouts; `classes` are empty for a regression.

    `costs` are those of a false negative and of a false positive, the larger being 1.
    """

    canary: Canary = Canary()
    classes: tuple[str, ...] | None = None
    positive: str | None = None
    costs: tuple[float, float] = (1.0, 1.0)
    parts: tuple[Part, ...] = ()
    auto_promote: bool = False

    def alpha(self, test: str) -> float:
        """Share of alpha of a test (Bonferroni), whatever the data are; all slices together have a quarter."""
        share = _SHARES.get(test) or _SLICES / sum(len(part.values) for part in self.parts)
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
        tuple(part for part in map(_part, _sliced(found)) if part is not None),
        found.auto_promote,
    )


def load_policy_or_default(usecase: str) -> tuple[Policy, str]:
    """Load the policy and a warning: an invalid file gives the default, since harm must be detected nevertheless."""
    try:
        return load_policy(usecase), ""
    except UseCaseError as error:
        return Policy(), f"{error} The rollout uses the default limits."


def _sliced(found: UseCase) -> list[tuple[Feature, tuple[float, ...]]]:
    features = {feature.name: feature for feature in found.features}
    return [(features[part.feature], tuple(part.bins or ())) for part in found.gates.slices]


def _part(declared: tuple[Feature, tuple[float, ...]]) -> Part | None:
    """The slice, where its values are known before there is any data: what is tested must not depend on that."""
    feature, edges = declared
    if feature.private == "bucket":
        return Part(feature.name, bin_labels(feature.bins or ()))
    if feature.private or feature.kind == "image":
        return None
    if feature.kind in ("number", "integer"):
        return Part(feature.name, bin_labels(edges), edges) if edges else None
    if feature.kind == "boolean":
        return Part(feature.name, ("false", "true"))
    return Part(feature.name, tuple(feature.vocabulary)) if feature.vocabulary else None
