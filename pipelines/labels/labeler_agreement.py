"""Labeler agreement: finds callers whose labels disagree with everyone else's, and limits the share of one caller.

The test compares each caller's rate of disagreement with the predictions with that of all other callers on similar
rows: strata of the same time and a similar prediction. Concept drift, or harder rows of one caller, change the rates
of a whole stratum and so do not single out a caller.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from pipelines.artifacts import Disagreement

MIN_ROWS = 30
SIGNIFICANCE = 0.01
MIN_DIFFERENCE = 0.1
_BLOCK = 200


@dataclass(frozen=True)
class _CallerTest:
    """A caller's rate of disagreement with the predictions, that of all others on similar rows, and the p-value."""

    caller: str
    rows: int
    rate: float
    others: float
    p: float


def find_disagreeing(labels: pd.DataFrame) -> list[Disagreement]:
    """Find callers whose labels disagree with everyone else's, the most conspicuous first.

    Each caller is tested without those found before it. `labels` has each caller's latest label of each prediction, in
    the order of time: `caller`, `truth`, and the prediction (`label` and `score`, or `value`). The test is that of
    Cochran, Mantel and Haenszel (1959) over the strata, at 1 % after Holm's correction, for a difference of at least a
    tenth. Callers with fewer than 30 labels, or with more than half of them, are not tested.
    """
    found: list[Disagreement] = []
    while (left := labels[~labels["caller"].isin([one.caller for one in found])])["caller"].nunique() > 1:
        worst = _most_conspicuous(left)
        if worst is None:
            break
        found.append(worst)
    return found


def within_share(callers: pd.Series, share: float) -> np.ndarray:
    """Return which rows to keep, bool [n], so that no caller has more than `share` of them; its newest are kept.

    With fewer callers than the share requires, each may have as many as the others. Rows are in the order of time.
    """
    counts = callers.value_counts()
    limit = _row_limit(np.sort(counts.to_numpy()), max(share, 1 / max(len(counts), 1)))
    return (callers[::-1].groupby(callers[::-1]).cumcount()[::-1] < limit).to_numpy()


def _row_limit(counts: np.ndarray, share: float) -> int:
    """Return the largest m with m ≤ share × (sum of min(count, m)); counts are sorted."""
    low, high = 1, int(counts.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        fits = middle <= share * np.minimum(counts, middle).sum() + 1e-9
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _most_conspicuous(labels: pd.DataFrame) -> Disagreement | None:
    counts, strata, differs = labels["caller"].value_counts(), _strata(labels), _differs(labels)
    callers = [str(name) for name, rows in counts.items() if MIN_ROWS <= rows <= len(labels) / 2]
    results = [_test(name, (labels["caller"] == name).to_numpy(), differs, strata) for name in callers]
    ordered = sorted(results, key=lambda one: (one.p, -one.rate))
    for place, one in enumerate(ordered):
        p = min(1.0, one.p * (len(ordered) - place))
        if p >= SIGNIFICANCE:
            return None
        if abs(one.rate - one.others) >= MIN_DIFFERENCE:
            return _to_disagreement(replace(one, p=p))
    return None


def _to_disagreement(test: _CallerTest) -> Disagreement:
    who = f"Caller {test.caller}" if test.caller else "The caller without a name"
    chance = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
    sentence = (
        f"{who} disagrees with the predictions in {test.rate:.0%} of {test.rows:,} labels, "
        f"everyone else in {test.others:.0%} on similar rows ({chance}): its labels are left out."
    )
    return Disagreement(**asdict(test), sentence=sentence)


def _test(caller: str, mine: np.ndarray, differs: np.ndarray, strata: np.ndarray) -> _CallerTest:
    """Test a caller over the strata that hold labels of it and of others, with Mantel and Haenszel's weights."""
    a, b = _per(strata, mine & differs), _per(strata, mine)
    c, d = _per(strata, ~mine & differs), _per(strata, ~mine)
    both = (b > 0) & (d > 0)
    a, b, c, d = (counts[both] for counts in (a, b, c, d))
    n, k = b + d, a + c
    variance = (b * d * k * (n - k) / (n**2 * np.maximum(n - 1, 1))).sum()
    if not variance:
        return _CallerTest(caller, int(mine.sum()), 0.0, 0.0, 1.0)
    statistic = max(abs((a - b * k / n).sum()) - 0.5, 0.0) ** 2 / variance
    weight = b * d / n
    rate, others = (float((weight * part / of).sum() / weight.sum()) for part, of in ((a, b), (c, d)))
    return _CallerTest(caller, int(mine.sum()), rate, others, _chi2_tail(statistic))


def _chi2_tail(statistic: float) -> float:
    """Return P(a chi-square of one degree of freedom is larger)."""
    return math.erfc(math.sqrt(statistic / 2))


def _per(strata: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.bincount(strata, weights=which, minlength=int(strata.max()) + 1)


def _strata(labels: pd.DataFrame) -> np.ndarray:
    """Return strata, int [n]: blocks of about 200 consecutive labels, by the prediction and whether it is confident."""
    blocks = max(1, len(labels) // _BLOCK)
    block = np.arange(len(labels)) * blocks // len(labels)
    value = labels["value"] if labels["label"].isna().all() else labels["score"]
    prediction = labels["label"].fillna("").astype(str)
    confident = value.fillna(0.0) > value.groupby(prediction).transform("median").fillna(0.0)
    return (
        pd.DataFrame({"block": block, "prediction": prediction, "confident": confident})
        .groupby(["block", "prediction", "confident"])
        .ngroup()
        .to_numpy()
    )


def _differs(labels: pd.DataFrame) -> np.ndarray:
    """Return which labels differ, bool [n]: in class, or in value by more than the median difference."""
    if not labels["label"].isna().all():
        return (labels["label"] != labels["truth"]).to_numpy()
    error = (labels["truth"].astype(float) - labels["value"]).abs()
    return (error > error.median()).to_numpy()
