"""Two-sample tests and effect sizes: arrays in, numbers out.

A test tells whether a difference can be chance, an effect size whether it matters. Drift needs both: with enough rows
every difference is significant, and with few rows chance alone makes large ones. Arrays have no missing values.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

WINSORISED_TAIL = 0.01
"""Share of the reference's mass on each side that is pulled in before a distance is taken."""

LEAST_EXPECTED = 5
"""Rows that each cell of a contingency table is expected to hold, for the chi-square to be good (Cochran's rule)."""


def kolmogorov_smirnov(reference: np.ndarray, window: np.ndarray) -> tuple[float, float]:
    """Statistic and two-sided p-value of the two-sample test; exact up to 10,000 rows (SciPy's own rule)."""
    from scipy.stats import ks_2samp

    if len(reference) == 0 or len(window) == 0:
        return 0.0, 1.0
    result = ks_2samp(reference, window)
    return float(result.statistic), float(result.pvalue)


def contingency(reference: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Counts [2, k] of each category in both samples, the rare and the unseen merged into one last cell.

    Whether a category is rare is decided on both samples *together*: given those totals, a table without drift still
    follows the law that the chi-square assumes. Deciding on the reference alone would keep the categories that happened
    to be frequent there, and find drift in data that has none.

    Returns:
        The counts, commonest first, and the name of each cell; the merged cell is called `(other)`.
    """
    codes, names = pd.factorize(np.concatenate([reference, window]))
    labels, split = np.array([str(name) for name in names]), len(reference)
    counts = np.stack([np.bincount(part, minlength=len(labels)) for part in (codes[:split], codes[split:])])
    order = np.lexsort((labels, -counts.sum(axis=0)))
    counts, labels = counts[:, order], labels[order].tolist()
    filled = counts.sum(axis=0) * counts.sum(axis=1).min() / max(counts.sum(), 1) >= LEAST_EXPECTED
    kept = max(int(filled.sum()), 1)
    if kept == len(labels):
        return counts, labels
    merged = counts[:, kept:].sum(axis=1, keepdims=True)
    return np.hstack([counts[:, :kept], merged]), [*labels[:kept], "(other)"]


def homogeneity(counts: np.ndarray) -> tuple[float, float]:
    """Pearson's statistic and the p-value for "both rows of this [2, k] table come from the same shares".

    Chi-square with the reference's own sampling error in it (a goodness-of-fit test takes the reference for the truth,
    and with 800 rows of it alarms falsely), continuity-corrected for two cells. Where the last, merged cell is too
    empty for the chi-square, that cell is tested exactly against all others (Fisher), the others among themselves by
    chi-square, and twice the smaller p-value is given (Bonferroni): a new category is not lost among the common ones.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2 or (counts.sum(axis=1) == 0).any():
        return 0.0, 1.0
    overall = chi2_contingency(counts)
    if overall.expected_freq.min() >= LEAST_EXPECTED:
        return float(overall.statistic), float(overall.pvalue)
    others, last = counts[:, :-1], counts[:, -1]
    exact = fisher_exact(np.stack([others.sum(axis=1), last], axis=1)).pvalue
    if others.shape[1] == 1 or (others.sum(axis=1) == 0).any():
        return float(overall.statistic), float(exact)
    among = chi2_contingency(others).pvalue
    return float(overall.statistic), float(min(1.0, 2 * min(exact, among)))


def wasserstein(reference: np.ndarray, window: np.ndarray) -> float:
    """Distance between the samples in standard deviations of the reference.

    Both are winsorised at the reference's 1 % and 99 % quantiles: a heavy tail otherwise makes the distance, and the
    deviation it is divided by, hang on a handful of rows. A reference that is one single value has no deviation; the
    effect is then the share of the window that differs from it.
    """
    from scipy.stats import wasserstein_distance

    if len(reference) == 0 or len(window) == 0:
        return 0.0
    low, high = np.quantile(reference, [WINSORISED_TAIL, 1 - WINSORISED_TAIL])
    if low < high:
        reference, window = np.clip(reference, low, high), np.clip(window, low, high)
    deviation = float(np.std(reference))
    if deviation == 0:
        return float(np.mean(window != reference[0]))
    return float(wasserstein_distance(reference, window)) / deviation


def population_stability(counts: np.ndarray) -> float:
    """Population stability index of a [2, k] table of counts: sum of (w - r) ln(w / r) over the shares.

    Half a row is added to every cell, so that an empty one counts as rare and not as infinitely far.
    """
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values: rejecting those at most alpha keeps the chance of any false alarm at alpha.

    Holds however the tests depend on each other (S. Holm, Scand. J. Statistics 6, 1979).
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1.0)
    return adjusted
