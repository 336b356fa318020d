"""Decision of a rollout: the tests on the evidence, and the action that follows from their results."""

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
    """Progress of a stage: its weight, the canary's predictions in it and its minutes; labels are of all stages."""

    weight: float
    predictions: int
    minutes: float
    labelled: int


@dataclass(frozen=True)
class EvidenceResult:
    """Result of one test: both means with their numbers, bounds of the difference, and the largest allowed difference.

    The verdict is `harmful` where the difference is shown to be larger than allowed, `safe` where it is not, else
    `open`.
    """

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
            f"{self.test}: {_percent(self.canary)} of {self.canary_n:,} versus the champion's "
            f"{_percent(self.champion)} of {self.champion_n:,}: at least {_points(self.low)} more, "
            f"{_points(self.allowed)} is allowed"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(evidence: Evidence, policy: Policy) -> list[EvidenceResult]:
    """Run every test, each at its share of alpha, so that the error rate of the whole rollout is alpha at most."""
    results = []
    for test, (canary, champion) in evidence.means.items():
        bounds, allowed = sequential_tests.difference(canary, champion, policy.alpha(test)), allowance(test, policy)
        results.append(_result(test, (_mean(canary), _mean(champion)), (canary.n, champion.n), bounds, allowed))
    apart = policy.canary.max_score_shift
    if apart is None:
        return results
    bounds = sequential_tests.shift(evidence.distance, *evidence.scores, policy.alpha("scores"))
    return [*results, _result("scores", (evidence.distance, None), evidence.scores, bounds, apart)]


def allowance(test: str, policy: Policy) -> float:
    limits = {"errors": policy.canary.max_error_excess, "time": policy.canary.max_slow_excess}
    return limits.get(test, policy.canary.max_loss_excess)


def verdict(low: ArrayLike, high: ArrayLike, allowed: float) -> np.ndarray:
    """Verdict of bounds, of one pair or of arrays."""
    within = np.where(np.asarray(high) <= allowed, SAFE, OPEN)
    return np.where(np.asarray(low) > allowed, HARMFUL, within)


def is_required(test: str) -> bool:
    """Whether a rollout waits for the test: quality does not hold it up, since labels may come months later."""
    return not test.startswith("loss")


def inconclusive_tests(results: Iterable[EvidenceResult]) -> list[str]:
    """Tests that must be shown to be safe before the canary may become the champion, and are not yet."""
    return [result.test for result in results if is_required(result.test) and result.verdict == OPEN]


def choose_action(policy: Policy, progress: Progress, harmful: bool, inconclusive: Sequence[str]) -> Action:
    """Choose to go back as soon as there is harm, on when the stage has its predictions and its time, and to finish
    when every required test is shown to be safe after the last stage."""
    if harmful:
        return "back"
    if unmet_conditions(policy, progress, inconclusive):
        return "stay"
    return "on" if policy.next_stage(progress.weight) else "finish"


def unmet_conditions(policy: Policy, progress: Progress, inconclusive: Sequence[str]) -> list[str]:
    """Describe the conditions that the stage still waits for."""
    canary, unmet = policy.canary, []
    if progress.predictions < canary.min_predictions:
        unmet.append(f"{progress.predictions:,} of {canary.min_predictions:,} predictions")
    if progress.minutes < canary.min_minutes:
        unmet.append(f"{max(progress.minutes, 0):.1f} of {canary.min_minutes:g} minutes")
    if policy.next_stage(progress.weight):
        return unmet
    if progress.labelled < canary.min_labelled:
        unmet.append(f"{progress.labelled:,} of {canary.min_labelled:,} labels")
    return unmet + ([f"evidence on {', '.join(inconclusive)}"] if inconclusive else [])


def _result(
    test: str, shares: tuple[float | None, float | None], counts: tuple[int, int], bounds: Interval, allowed: float
) -> EvidenceResult:
    low, high = round(float(bounds.low), 6), round(float(bounds.high), 6)
    return EvidenceResult(test, *shares, *counts, low, high, allowed, str(verdict(low, high, allowed)))


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.n if sample.n else None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{_two_digits(100 * share)} %"


def _points(share: float) -> str:
    return f"{_two_digits(100 * share)} points"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
