"""Evidently's detailed page of a comparison, with the method and the threshold of every test pinned.

Importing Evidently takes some ten seconds, so the verdict never waits for it: `monitoring.analysis.drift` computes the
results.
"""

from __future__ import annotations

import os
import re
import secrets
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.analysis.drift import CHI2, KS, MISSING, DriftResult, Table, holm_cutoff
from monitoring.analysis.statistical_tests import contingency, homogeneity
from slipway.contracts.columns import OWN

HOMOGENEITY = "slipway_chi2"
_DATA = re.compile(r"^    var (?:additional_graphs_)?metric_[0-9a-f]{32} = .*;$", re.MULTILINE)
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}


class Scores:
    """Evidently's results: `p_values` and `drifted` by (name, of, method), in the order of the drift results."""

    def __init__(self, snapshot: Any, results: Sequence[DriftResult]) -> None:
        content = snapshot.dict()
        keys = [(result.name, result.of, result.method) for result in results]
        self._snapshot = snapshot
        self.p_values = dict(zip(keys, (float(metric["value"]) for metric in content["metrics"]), strict=True))
        self.drifted = dict(zip(keys, (test["status"] == "FAIL" for test in content["tests"]), strict=True))

    def save(self, path: Path) -> None:
        """Write the page. Raises ValueError if Evidently's page is not as this release writes it."""
        path.write_text(_without_scripts_in_data(self._snapshot.get_html_str(as_iframe=False)), encoding="utf-8")


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
    now, before = (Dataset.from_pandas(_frame(testable, table), definition) for table in (window, reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Evidently 0.7.23 relies on pandas 2's downcasting
        return Scores(report.run(now, before), testable)


def _frame(testable: Sequence[DriftResult], table: Table) -> pd.DataFrame:
    """The tested columns in one frame, which pads the shorter ones with missing values.

    The predictions are the watched version's only, so they are fewer than the features where versions have changed.
    """
    return pd.DataFrame({_column(result): pd.Series(_values(result, table)) for result in testable})


def _without_scripts_in_data(page: str) -> str:
    """Escape the data of Evidently's page, and forbid other scripts than its own, and every request.

    Evidently writes names and values into a script as plain JSON, where a caller's `</script>` ends it. The JSON is
    ASCII and one line, and has these characters in strings only.
    """
    page, found = _DATA.subn(lambda line: line[0].translate(_ESCAPES), page)
    if found != 2:
        raise ValueError(f"Evidently's page has {found} lines of data, and 2 are expected")
    nonce = secrets.token_hex(16)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(nonce=nonce)}">'
    return page.replace("<script>", f"<script nonce={nonce}>").replace("<head>", f"<head>{meta}", 1)


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
    return f"{OWN}missing.{result.name}" if result.method == MISSING else result.name


def _values(result: DriftResult, table: Table) -> np.ndarray:
    values = table[result.name]
    if result.method == MISSING:
        return np.where(pd.isna(values), "missing", "present").astype(object)
    return _labels(values) if result.method == CHI2 else values


def _labels(values: np.ndarray) -> np.ndarray:
    """Categories as Plotly's labels, which are HTML: another text for each, and shown as it was sent."""
    return np.array([None if pd.isna(value) else escape(str(value), quote=False) for value in values], dtype=object)


def _empty(result: DriftResult, table: Table) -> bool:
    return len(table[result.name]) == 0 or (result.method != MISSING and bool(pd.isna(table[result.name]).all()))
