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
    `open`. It is `open`, too, where it depends on a single caller, which `caller` describes. The result is `disputed`
    where there is harm with that caller's requests or without them: the rollout stays until that is settled.
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
    caller: str = ""
    disputed: bool = False

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
    """Run every test, each at its share of alpha, so that the error rate of the whole rollout is alpha at most.

    A test that must come to the same result without each caller errs no more often than the one without the caller
    that would turn it: leaving out more callers can only take conclusions away.
    """
    parts = [evidence, *evidence.without.values()]
    results = []
    for test, (canary, champion) in evidence.means.items():
        new, old = (_stack(each.means[test][arm] for each in parts) for arm in (0, 1))
        bounds, allowed = sequential_tests.difference(new, old, policy.alpha(test)), allowance(test, policy)
        shares, counts = (_mean(canary), _mean(champion)), (int(canary.n), int(champion.n))
        results.append(_result(test, shares, counts, bounds, allowed, evidence))
    apart = policy.canary.max_score_shift
    if apart is None:
        return results
    distances, counts = np.array([each.distance for each in parts]), np.array([each.scores for each in parts])
    bounds = sequential_tests.shift(distances, counts[:, 0], counts[:, 1], policy.alpha("scores"))
    return [*results, _result("scores", (evidence.distance, None), evidence.scores, bounds, apart, evidence)]


def _stack(samples: Iterable[Sample]) -> Sample:
    return Sample(*(np.array(values) for values in zip(*samples, strict=True)))


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


def choose_action(
    policy: Policy, progress: Progress, harmful: bool, inconclusive: Sequence[str], disputed: bool = False
) -> Action:
    """Choose to go back as soon as there is harm, on when the stage has its predictions and its time, and to finish
    when every required test is shown to be safe after the last stage; to stay while a result is disputed."""
    if harmful:
        return "back"
    if disputed or unmet_conditions(policy, progress, inconclusive):
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


def describe_callers(evidence: Evidence, results: Sequence[EvidenceResult], policy: Policy) -> str:
    """Say what waits because it depends on a single caller, by caller, and which key of the use case allows it."""
    waiting: dict[str, list[str]] = {}
    fewest, caller = evidence.fewest_predictions
    if caller and fewest < policy.canary.min_predictions <= evidence.predictions:
        waiting[caller] = ["predictions"]
    for result in results:
        if result.caller and (result.disputed or is_required(result.test)):
            waiting.setdefault(result.caller, []).append(result.test)
    sentences = [_sentence(evidence, caller, conditions) for caller, conditions in waiting.items()]
    return " ".join([*sentences, "`canary.callers: any` lets one caller decide."]) if sentences else ""


def _sentence(evidence: Evidence, caller: str, conditions: Sequence[str]) -> str:
    requests = evidence.requests - evidence.without[caller].requests
    return f"The {requests:,} requests of {caller} alone do not decide: {', '.join(conditions)}."


def _result(
    test: str,
    shares: tuple[float | None, float | None],
    counts: tuple[int, int],
    bounds: Interval,
    allowed: float,
    evidence: Evidence,
) -> EvidenceResult:
    """The result of bounds, the first ones of all the evidence, the others of that without each caller."""
    lows, highs = np.round(bounds.low, 6), np.round(bounds.high, 6)
    whole, *others = (str(each) for each in verdict(lows, highs, allowed))
    caller = _turned_by(whole, others, evidence)
    disputed = bool(caller) and HARMFUL in (whole, *others)
    result = OPEN if caller else whole
    return EvidenceResult(test, *shares, *counts, float(lows[0]), float(highs[0]), allowed, result, caller, disputed)


def _turned_by(whole: str, others: Sequence[str], evidence: Evidence) -> str:
    """The caller without whom the result is another one: a conclusion that does not hold, or harm that is hidden.

    Of several it is the one with most requests.
    """
    turned = [
        (rest.requests, name)
        for each, (name, rest) in zip(others, evidence.without.items(), strict=True)
        if each != whole and (whole != OPEN or each == HARMFUL)
    ]
    return min(turned)[1] if turned else ""


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.n if sample.n else None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{_two_digits(100 * share)} %"


def _points(share: float) -> str:
    return f"{_two_digits(100 * share)} points"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
