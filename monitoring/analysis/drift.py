"""Drift detection: which columns of a window come from another distribution than the reference, and by how much.

Every column has up to two tests: of its values, and of its share of missing ones. All tests of a comparison are one
family under Holm's correction, so the probability of any false alarm is the significance for the whole set; a
significant change must also be large enough to matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.analysis.descriptions import describe
from monitoring.analysis.statistical_tests import (
    contingency,
    holm,
    homogeneity,
    kolmogorov_smirnov,
    population_stability,
    wasserstein,
)

KS, CHI2, MISSING = "ks", "chi2", "chi2_missing"
NUMERIC = ("number", "integer")
_MEASURE = {KS: "wasserstein", CHI2: "psi", MISSING: "psi"}
_DEFAULT_MINIMUM = 0.1

Table = Mapping[str, np.ndarray]
"""Columns of equal length: float64 with NaN where the kind is numeric, else object with None where it is missing."""


@dataclass(frozen=True)
class Column:
    """A column to compare; `of` is `feature` or `prediction`."""

    name: str
    kind: str
    of: str = "feature"
    unit: str = ""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of a bundle for the comparison with its reference: `monitor/thresholds.json`."""

    significance: float = 0.05
    features: Mapping[str, Mapping] = field(default_factory=dict)
    minimum_effect: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> Thresholds:
        content = json.loads(path.read_text())
        return Thresholds(content["significance"], content.get("features", {}), content.get("minimum_effect", {}))

    def method(self, column: Column) -> str:
        pinned = self.features.get(column.name, {}).get("method")
        return pinned or (KS if column.kind in NUMERIC else CHI2)

    def minimum(self, column: Column, measure: str) -> float:
        """The smallest effect that matters: the column's own, else the bundle's for that measure."""
        own = self.features.get(column.name, {}).get("minimum_effect", {})
        return own["value"] if own.get("measure") == measure else self.minimum_effect.get(measure, _DEFAULT_MINIMUM)


@dataclass(frozen=True)
class DriftResult:
    """Result of one test of one column; `effect` is in units of `measure`, `sentence` describes the change."""

    name: str
    kind: str
    of: str
    method: str
    statistic: float
    p_value: float
    measure: str
    effect: float
    minimum: float
    adjusted_p: float = 1.0
    drifted: bool = False
    sentence: str = ""


def compare(reference: Table, window: Table, columns: Iterable[Column], thresholds: Thresholds) -> list[DriftResult]:
    """Test every column, in the given order; results with `drifted` are the alarm.

    A column's missing values are tested if either side has any.
    """
    tests = [test for column in columns for test in _tests(reference, window, column, thresholds)]
    adjusted = holm(np.array([test.p_value for test in tests]))
    return [
        _decided(test, float(p), thresholds.significance, reference[test.name], window[test.name])
        for test, p in zip(tests, adjusted, strict=True)
    ]


def holm_cutoff(results: list[DriftResult], significance: float) -> float:
    """The p-value at or below which Holm's procedure rejects, given all p-values of these results."""
    rejected = sum(result.adjusted_p <= significance for result in results)
    return significance / (len(results) - max(rejected - 1, 0)) if results else significance


def present(values: np.ndarray) -> np.ndarray:
    """The values that are not missing."""
    return values[~pd.isna(values)]


def _tests(reference: Table, window: Table, column: Column, thresholds: Thresholds) -> list[DriftResult]:
    before, after = reference[column.name], window[column.name]
    there, now = present(before), present(after)
    tests = [_values(there, now, column, thresholds)]
    gone = [len(before) - len(there), len(after) - len(now)]
    if column.of == "feature" and sum(gone):
        counts = np.array([[len(there), gone[0]], [len(now), gone[1]]])
        tests.append(_result(column, MISSING, *homogeneity(counts), population_stability(counts), thresholds))
    return tests


def _values(there: np.ndarray, now: np.ndarray, column: Column, thresholds: Thresholds) -> DriftResult:
    method = thresholds.method(column)
    if method == KS:
        return _result(column, KS, *kolmogorov_smirnov(there, now), wasserstein(there, now), thresholds)
    counts, _ = contingency(there, now)
    effect = population_stability(counts) if len(there) and len(now) else 0.0
    return _result(column, CHI2, *homogeneity(counts), effect, thresholds)


def _result(
    column: Column, method: str, statistic: float, p_value: float, effect: float, thresholds: Thresholds
) -> DriftResult:
    measure = _MEASURE[method]
    minimum = thresholds.minimum(column, measure)
    effect = float(np.nan_to_num(effect))  # of values as large as numbers are: JSON holds no infinity
    return DriftResult(column.name, column.kind, column.of, method, statistic, p_value, measure, effect, minimum)


def _decided(
    test: DriftResult, adjusted_p: float, significance: float, before: np.ndarray, after: np.ndarray
) -> DriftResult:
    significant = adjusted_p <= significance
    drifted = significant and test.effect >= test.minimum
    sentence = describe(test.method, before, after, significant, drifted)
    return replace(test, adjusted_p=adjusted_p, drifted=drifted, sentence=sentence)
