"""Who labelled: callers whose labels are unlike everyone else's, and the most rows that one caller may give.

The test asks of each caller whether its labels disagree with the model's answers at another rate than everyone
else's do, on like rows: predictions of the same time that were answered alike. The strata are what keeps it calm when
the world changes for everybody, or when one caller has the harder rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

LEAST_ROWS = 30
SIGNIFICANCE = 0.01
LEAST_DIFFERENCE = 0.1
_BLOCK = 200


@dataclass(frozen=True)
class Disagreement:
    """A caller's rate of disagreement with the answers, and everyone else's on like rows; `p` is Holm's."""

    caller: str
    rows: int
    rate: float
    others: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sentence": self.sentence}

    @property
    def sentence(self) -> str:
        who = f"Caller {self.caller}" if self.caller else "Who sends labels without a name"
        return (
            f"{who} disagrees with the answers in {self.rate:.0%} of {self.rows:,} labels, "
            f"everyone else in {self.others:.0%} on like rows ({_chance(self.p)}): its labels are left out."
        )


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def find_disagreeing(told: pd.DataFrame) -> list[Disagreement]:
    """The callers whose labels go against everyone else's, the plainest first; each is judged without those before it.

    `told` has each caller's last word on each prediction, in the order of time: `caller`, `truth`, and the answer
    (`label` and `score`, or `value`). The test is that of Cochran, Mantel and Haenszel (1959) over the strata, at 1 %
    after Holm's correction, for a difference of at least a tenth. Nobody is judged with fewer than 30 labels, and
    nobody who gave more than half of them: that one is everyone else.
    """
    found: list[Disagreement] = []
    while (left := told[~told["caller"].isin([one.caller for one in found])])["caller"].nunique() > 1:
        worst = _plainest(left)
        if worst is None:
            break
        found.append(worst)
    return found


def within_share(callers: pd.Series, share: float) -> np.ndarray:
    """Which rows stay, bool [n], when no caller may give more than `share` of those that do: a caller's newest stay.

    Among fewer callers than the share needs, each may give as much as the others. The rows are in the order of time.
    """
    counts = callers.value_counts()
    most = _most(np.sort(counts.to_numpy()), max(share, 1 / max(len(counts), 1)))
    return (callers[::-1].groupby(callers[::-1]).cumcount()[::-1] < most).to_numpy()


def _most(counts: np.ndarray, share: float) -> int:
    """The largest m with m ≤ share × (sum of min(count, m)); counts are sorted."""
    low, high = 1, int(counts.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        fits = middle <= share * np.minimum(counts, middle).sum() + 1e-9
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _plainest(told: pd.DataFrame) -> Disagreement | None:
    counts, strata, differs = told["caller"].value_counts(), _strata(told), _differs(told)
    asked = [str(name) for name, rows in counts.items() if LEAST_ROWS <= rows <= len(told) / 2]
    tested = [_tested(name, (told["caller"] == name).to_numpy(), differs, strata) for name in asked]
    ordered = sorted(tested, key=lambda one: (one.p, -one.rate))
    for place, one in enumerate(ordered):
        p = min(1.0, one.p * (len(ordered) - place))
        if p >= SIGNIFICANCE:
            return None
        if abs(one.rate - one.others) >= LEAST_DIFFERENCE:
            return Disagreement(one.caller, one.rows, one.rate, one.others, p)
    return None


def _tested(caller: str, mine: np.ndarray, differs: np.ndarray, strata: np.ndarray) -> Disagreement:
    """Over the strata that hold both, weighted by what they tell (Mantel and Haenszel's weights)."""
    a, b = _per(strata, mine & differs), _per(strata, mine)
    c, d = _per(strata, ~mine & differs), _per(strata, ~mine)
    both = (b > 0) & (d > 0)
    a, b, c, d = (counts[both] for counts in (a, b, c, d))
    n, k = b + d, a + c
    variance = (b * d * k * (n - k) / (n**2 * np.maximum(n - 1, 1))).sum()
    if not variance:
        return Disagreement(caller, int(mine.sum()), 0.0, 0.0, 1.0)
    statistic = max(abs((a - b * k / n).sum()) - 0.5, 0.0) ** 2 / variance
    weight = b * d / n
    rate, others = (float((weight * part / of).sum() / weight.sum()) for part, of in ((a, b), (c, d)))
    return Disagreement(caller, int(mine.sum()), rate, others, _chi2_tail(statistic))


def _chi2_tail(statistic: float) -> float:
    """P(a chi-square of one degree of freedom is larger)."""
    return math.erfc(math.sqrt(statistic / 2))


def _per(strata: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.bincount(strata, weights=which, minlength=int(strata.max()) + 1)


def _strata(told: pd.DataFrame) -> np.ndarray:
    """int [n]: blocks of some 200 labels that follow each other, by the answer and whether it was given surely."""
    blocks = max(1, len(told) // _BLOCK)
    block = np.arange(len(told)) * blocks // len(told)
    value = told["value"] if told["label"].isna().all() else told["score"]
    answer = told["label"].fillna("").astype(str)
    sure = value.fillna(0.0) > value.groupby(answer).transform("median").fillna(0.0)
    return (
        pd.DataFrame({"block": block, "answer": answer, "sure": sure})
        .groupby(["block", "answer", "sure"])
        .ngroup()
        .to_numpy()
    )


def _differs(told: pd.DataFrame) -> np.ndarray:
    """bool [n]: another class than the answer's; a value that is further from it than half of all are."""
    if not told["label"].isna().all():
        return (told["label"] != told["truth"]).to_numpy()
    error = (told["truth"].astype(float) - told["value"]).abs()
    return (error > error.median()).to_numpy()
