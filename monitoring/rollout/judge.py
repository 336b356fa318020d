"""What the evidence says, test by test, and what a rollout does with that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from monitoring import sequential
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.policy import Policy
from monitoring.sequential import Interval, Sample

HARMFUL, SAFE, OPEN = "harmful", "safe", "open"
Verdict = Literal["harmful", "safe", "open"]
Move = Literal["back", "stay", "on", "finish"]


@dataclass(frozen=True)
class Finding:
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
    verdict: Verdict

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


def judge(evidence: Evidence, policy: Policy) -> list[Finding]:
    """Every test on the evidence; at each one's share of alpha, so the whole rollout is wrong no more often."""
    found = []
    for test, (canary, champion) in evidence.means.items():
        bounds, allowed = sequential.difference(canary, champion, policy.alpha), allowance(test, policy)
        found.append(_finding(test, (_mean(canary), _mean(champion)), (canary.n, champion.n), bounds, allowed))
    apart = policy.canary.max_score_shift
    if apart is None:
        return found
    bounds = sequential.shift(evidence.distance, *evidence.scores, policy.alpha)
    return [*found, _finding("scores", (evidence.distance, None), evidence.scores, bounds, apart)]


def allowance(test: str, policy: Policy) -> float:
    limits = {"errors": policy.canary.max_error_excess, "time": policy.canary.max_slow_excess}
    return limits.get(test, policy.canary.max_loss_excess)


def verdict(low: float, high: float, allowed: float) -> Verdict:
    if low > allowed:
        return HARMFUL
    return SAFE if high <= allowed else OPEN


def needs_proof(test: str) -> bool:
    """Labels may come months later: quality stops a rollout, and holds none up."""
    return not test.startswith("loss")


def move(policy: Policy, weight: float, evidence: Evidence, minutes: float, findings: list[Finding]) -> Move:
    """Back as soon as there is harm; on when the stage has its predictions and its time; to champion when, after the
    last stage, every test that must be is shown to be safe."""
    if any(finding.verdict == HARMFUL for finding in findings):
        return "back"
    if missing(policy, weight, evidence, minutes, findings):
        return "stay"
    return "on" if policy.next_stage(weight) else "finish"


def missing(policy: Policy, weight: float, evidence: Evidence, minutes: float, findings: list[Finding]) -> list[str]:
    """What the stage waits for, in words."""
    canary, waits = policy.canary, []
    if evidence.predictions < canary.min_predictions:
        waits.append(f"{evidence.predictions:,} of {canary.min_predictions:,} predictions")
    if minutes < canary.min_minutes:
        waits.append(f"{max(minutes, 0):.1f} of {canary.min_minutes:g} minutes")
    if policy.next_stage(weight):
        return waits
    if evidence.labelled < canary.min_labelled:
        waits.append(f"{evidence.labelled:,} of {canary.min_labelled:,} labels")
    unproven = [finding.test for finding in findings if needs_proof(finding.test) and finding.verdict == OPEN]
    return waits + ([f"evidence on {', '.join(unproven)}"] if unproven else [])


def _finding(
    test: str, shares: tuple[float | None, float | None], counts: tuple[int, int], bounds: Interval, allowed: float
) -> Finding:
    low, high = round(float(bounds.low), 6), round(float(bounds.high), 6)
    return Finding(test, *shares, *counts, low, high, allowed, verdict(low, high, allowed))


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.n if sample.n else None


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{_two_digits(100 * share)} %"


def _points(share: float) -> str:
    return f"{_two_digits(100 * share)} points"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
