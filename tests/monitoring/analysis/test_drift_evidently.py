"""Evidently's numbers are ours: the page it draws cannot tell another story than the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics.drift import COLUMNS, THRESHOLDS, population, shift_number, shift_share
from monitoring.analysis.drift import Column, compare
from monitoring.reports.evidently_report import score

pytestmark = pytest.mark.slow


def test_evidently_scores_and_judges_as_the_verdict_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    reference, window = population(rng, 800), population(rng, 1_000)
    shift_number("normal_0", 1.0, window, rng)
    shift_share("tail_2", np.nan, 0.2, window, rng)
    shift_share("flag", "true", 0.3, window, rng)
    findings = compare(reference, window, COLUMNS, THRESHOLDS)
    scores = score(reference, window, findings, THRESHOLDS.significance)
    assert {f.name for f in findings if f.drifted} == {"normal_0", "tail_2", "flag"}
    for finding in findings:
        key = (finding.name, finding.of, finding.method)
        assert scores.p_values[key] == pytest.approx(finding.p_value, abs=1e-12), key
        assert scores.drifted[key] == finding.drifted, key
    scores.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 100_000


def test_a_significant_change_too_small_to_matter_is_not_detected_by_evidently_either() -> None:
    rng = np.random.default_rng(12)
    reference, window = {"x": rng.normal(size=30_000)}, {"x": rng.normal(0.06, size=30_000)}
    findings = compare(reference, window, [Column("x", "number")], THRESHOLDS)
    assert findings[0].adjusted_p < 0.05
    assert list(score(reference, window, findings, 0.05).drifted.values()) == [False]


def test_a_column_without_values_is_left_out_of_evidently_but_its_missing_share_is_not() -> None:
    reference, window = {"x": np.arange(300.0)}, {"x": np.full(300, np.nan)}
    findings = compare(reference, window, [Column("x", "number")], THRESHOLDS)
    assert list(score(reference, window, findings, 0.05).drifted) == [("x", "feature", "chi2_missing")]


def test_the_missing_values_of_a_column_and_a_column_named_so_stay_two() -> None:
    rng = np.random.default_rng(3)
    names = ("x", "x (missing)", "missing.x")
    reference = {name: np.where(rng.random(300) < 0.2, np.nan, rng.normal(size=300)) for name in names}
    window = {name: np.where(rng.random(300) < 0.4, np.nan, rng.normal(size=300)) for name in names}
    findings = compare(reference, window, [Column(name, "number") for name in names], THRESHOLDS)
    found = score(reference, window, findings, 0.05).p_values
    assert found == {(f.name, f.of, f.method): pytest.approx(f.p_value, abs=1e-12) for f in findings}
