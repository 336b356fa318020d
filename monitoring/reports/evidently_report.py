"""Evidently's detailed page of a comparison, with the method and the threshold of every test pinned.

Importing Evidently takes some ten seconds, so the verdict never waits for it: `monitoring.analysis.drift` computes the
results.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.analysis.drift import CHI2, KS, MISSING, DriftResult, Table, holm_cutoff
from monitoring.analysis.statistical_tests import contingency, homogeneity

HOMOGENEITY = "slipway_chi2"


class Scores:
    """Evidently's results: `p_values` and `drifted` by (name, of, method), in the order of the drift results."""

    def __init__(self, snapshot: Any, results: Sequence[DriftResult]) -> None:
        content = snapshot.dict()
        keys = [(result.name, result.of, result.method) for result in results]
        self._snapshot = snapshot
        self.p_values = dict(zip(keys, (float(metric["value"]) for metric in content["metrics"]), strict=True))
        self.drifted = dict(zip(keys, (test["status"] == "FAIL" for test in content["tests"]), strict=True))

    def save(self, path: Path) -> None:
        self._snapshot.save_html(str(path))


def score(reference: Table, window: Table, results: Sequence[DriftResult], significance: float) -> Scores:
    """Run Evidently on the columns that `compare` has tested, except those without values on one side."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    _register_homogeneity()
    testable = [f for f in results if not (_empty(f, reference) or _empty(f, window))]
    definition = DataDefinition(
        numerical_columns=[_column(f) for f in testable if f.method == KS],
        categorical_columns=[_column(f) for f in testable if f.method != KS],
    )
    cutoff = holm_cutoff(results, significance)
    report = Report(
        [ValueDrift(column=_column(f), method=_method(f), threshold=_threshold(f, cutoff)) for f in testable],
        include_tests=True,
    )
    now, before = (
        Dataset.from_pandas(pd.DataFrame({_column(f): _values(f, table) for f in testable}), definition)
        for table in (window, reference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Evidently 0.7.23 relies on pandas 2's downcasting
        return Scores(report.run(now, before), testable)


def _register_homogeneity() -> None:
    """Register this project's test for categories with Evidently.

    Evidently's chi-square takes the reference for the truth: with 800 rows it alarms on most samples without drift.
    """
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    test = StatTest(HOMOGENEITY, "chi-square of homogeneity, p_value", [ColumnType.Categorical])
    register_stattest(test, _homogeneity)


def _homogeneity(reference: pd.Series, window: pd.Series, _: Any, threshold: float) -> tuple[float, bool]:
    counts, _ = contingency(reference.to_numpy(dtype=object), window.to_numpy(dtype=object))
    p_value = homogeneity(counts)[1]
    return p_value, p_value <= threshold


def _method(result: DriftResult) -> str:
    return "ks" if result.method == KS else HOMOGENEITY


def _threshold(result: DriftResult, cutoff: float) -> float:
    """Holm's cutoff; for an effect too small to matter, one that nothing reaches: Evidently knows no effect sizes."""
    return cutoff if result.effect >= result.minimum else -1.0


def _column(result: DriftResult) -> str:
    return f"{result.name} (missing)" if result.method == MISSING else result.name


def _values(result: DriftResult, table: Table) -> np.ndarray:
    values = table[result.name]
    if result.method == MISSING:
        return np.where(pd.isna(values), "missing", "present").astype(object)
    return values.astype(object) if result.method == CHI2 else values


def _empty(result: DriftResult, table: Table) -> bool:
    return len(table[result.name]) == 0 or (result.method != MISSING and bool(pd.isna(table[result.name]).all()))
