"""What the evidence says, test by test, and what a rollout does with that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from monitoring.rollout import sequential_tests
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.policy import Policy
from monitoring.rollout.sequential_tests import Interval, Sample

HARMFUL, SAFE, OPEN = "harmful", "safe", "open"
Action = Literal["back", "stay", "on", "finish"]


class Progress(NamedTuple):
    """How far a stage is: its weight, the canary's predictions in it and its minutes; labels are of all stages."""

    weight: float
    predictions: int
    minutes: float
    labelled: int


@dataclass(frozen=True)
class TestResult:
    """One test: both samples, how far the canary is above the champion (or away from it) by the bounds, and what of
    that is allowed. `harmful` is shown to be beyond it, `safe` to be within."""

    test: str
    canary: float | None
    champion: float | None
    canary_n: int
    champion_n: int
    low: float
    high: float
    allowed: float
    verdict: str

    @property
    def sentence(self) -> str:
        if self.test == "scores":
            return (
                f"scores: the distributions of {self.canary_n:,} and {self.champion_n:,} scores are at least "
                f"{self.low:.2f} apart, {self.allowed:g} is allowed"
            )
        return (
            f"{self.test}: {_percent(self.canary)} of {self.canary_n:,} beside the champion's "
            f"{_percent(self.champion)} of {self.champion_n:,}: at least {_points(self.low)} more, "
            f"{_points(self.allowed)} is allowed"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(evidence: Evidence, policy: Policy) -> list[TestResult]:
    """Every test on the evidence; at each one's share of alpha, so the whole rollout is wrong no more often."""
    found = []
    for test, (canary, champion) in evidence.means.items():
        bounds, allowed = sequential_tests.difference(canary, champion, policy.alpha(test)), allowance(test, policy)
        found.append(_result(test, (_mean(canary), _mean(champion)), (canary.n, champion.n), bounds, allowed))
    apart = policy.canary.max_score_shift
    if apart is None:
        return found
    bounds = sequential_tests.shift(evidence.distance, *evidence.scores, policy.alpha("scores"))
    return [*found, _result("scores", (evidence.distance, None), evidence.scores, bounds, apart)]


def allowance(test: str, policy: Policy) -> float:
    limits = {"errors": policy.canary.max_error_excess, "time": policy.canary.max_slow_excess}
    return limits.get(test, policy.canary.max_loss_excess)


def verdict(low: ArrayLike, high: ArrayLike, allowed: float) -> np.ndarray:
    """Of bounds, one pair or arrays of them."""
    within = np.where(np.asarray(high) <= allowed, SAFE, OPEN)
    return np.where(np.asarray(low) > allowed, HARMFUL, within)


def is_required(test: str) -> bool:
    """Labels may come months later: quality stops a rollout, and holds none up."""
    return not test.startswith("loss")


def inconclusive_tests(findings: Iterable[TestResult]) -> list[str]:
    """The tests that must be shown to be safe before the canary may become the champion, and are not yet."""
    return [finding.test for finding in findings if is_required(finding.test) and finding.verdict == OPEN]


def choose_action(policy: Policy, progress: Progress, harmful: bool, unproven: Sequence[str]) -> Action:
    """Back as soon as there is harm; on when the stage has its predictions and its time; to champion when, after the
    last stage, every test that must be is shown to be safe."""
    if harmful:
        return "back"
    if unmet_conditions(policy, progress, unproven):
        return "stay"
    return "on" if policy.next_stage(progress.weight) else "finish"


def unmet_conditions(policy: Policy, progress: Progress, unproven: Sequence[str]) -> list[str]:
    """What the stage waits for, in words."""
    canary, waits = policy.canary, []
    if progress.predictions < canary.min_predictions:
        waits.append(f"{progress.predictions:,} of {canary.min_predictions:,} predictions")
    if progress.minutes < canary.min_minutes:
        waits.append(f"{max(progress.minutes, 0):.1f} of {canary.min_minutes:g} minutes")
    if policy.next_stage(progress.weight):
        return waits
    if progress.labelled < canary.min_labelled:
        waits.append(f"{progress.labelled:,} of {canary.min_labelled:,} labels")
    return waits + ([f"evidence on {', '.join(unproven)}"] if unproven else [])


def _result(
    test: str, shares: tuple[float | None, float | None], counts: tuple[int, int], bounds: Interval, allowed: float
) -> TestResult:
    low, high = round(float(bounds.low), 6), round(float(bounds.high), 6)
    return TestResult(test, *shares, *counts, low, high, allowed, str(verdict(low, high, allowed)))


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.n if sample.n else None


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{_two_digits(100 * share)} %"


def _points(share: float) -> str:
    return f"{_two_digits(100 * share)} points"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
