"""The two-sample tests, their correction and the minimum effect, on arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from monitoring.analysis.drift import Column, DriftResult, Thresholds, compare, holm_cutoff
from monitoring.analysis.statistical_tests import contingency, holm, homogeneity, population_stability, wasserstein

NUMBER, CATEGORY = Column("age", "number"), Column("job", "category")


def objects(*values: object) -> np.ndarray:
    return np.array(values, dtype=object)


def single(reference: np.ndarray, window: np.ndarray, column: Column, **thresholds: object) -> list[DriftResult]:
    return compare({column.name: reference}, {column.name: window}, [column], Thresholds(**thresholds))


def test_numbers_are_tested_by_two_sample_kolmogorov_smirnov() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=300), rng.normal(0.5, size=200)
    (found,) = single(before, after, NUMBER)
    assert (found.method, found.p_value) == ("ks", ks_2samp(before, after).pvalue)
    assert found.drifted
    assert "median rose" in found.sentence


def test_categories_are_tested_by_chi_square_of_homogeneity() -> None:
    before, after = np.repeat(["a", "b", "c"], [50, 30, 20]), np.repeat(["a", "b", "c"], [20, 30, 50])
    (found,) = single(before.astype(object), after.astype(object), CATEGORY)
    assert found.p_value == pytest.approx(chi2_contingency([[50, 30, 20], [20, 30, 50]]).pvalue)
    assert found.method == "chi2"
    assert found.sentence == "“a” went from 50 % to 20 %."


def test_one_unseen_category_in_a_thousand_rows_is_no_drift() -> None:
    before, after = np.repeat(["a", "b"], [500, 300]), np.repeat(["a", "b", "new"], [625, 374, 1])
    (found,) = single(before.astype(object), after.astype(object), CATEGORY)
    assert not found.drifted
    assert found.p_value > 0.5


@pytest.mark.parametrize("reference_rows", [800, 50_000])
def test_a_new_category_in_a_tenth_of_the_window_is_found(reference_rows: int) -> None:
    before, after = np.repeat(["a", "b"], reference_rows // 2), np.repeat(["a", "b", "new"], [90, 90, 20])
    (found,) = single(before.astype(object), after.astype(object), CATEGORY)
    assert found.drifted
    assert found.sentence == "“new”, never seen before, went from 0 % to 10 %."


@pytest.mark.parametrize("reference_rows", [800, 50_000])
def test_a_column_that_never_was_missing_and_now_is_in_a_tenth_is_found(reference_rows: int) -> None:
    rng = np.random.default_rng(2)
    after = rng.normal(size=200)
    after[:20] = np.nan
    values, missing = single(rng.normal(size=reference_rows), after, NUMBER)
    assert not values.drifted
    assert missing.method == "chi2_missing"
    assert missing.drifted
    assert missing.sentence == "Missing values went from 0 % to 10 %."


def test_a_window_without_any_value_is_found_by_its_missing_values() -> None:
    values, missing = single(np.arange(800.0), np.full(200, np.nan), NUMBER)
    assert (values.p_value, values.drifted, values.sentence) == (1.0, False, "No values in the window.")
    assert missing.drifted


def test_rare_categories_are_merged_so_that_every_other_cell_is_well_filled() -> None:
    rng = np.random.default_rng(3)
    names = np.array([f"c{i}" for i in range(200)], dtype=object)
    shares = 1 / np.arange(1, 201)
    before, after = (rng.choice(names, size=n, p=shares / shares.sum()) for n in (800, 300))
    counts, labels = contingency(before, after)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    assert labels[-1] == "(other)"
    assert counts.sum(axis=1).tolist() == [800, 300]
    assert expected.min() >= 5


def test_two_cells_too_empty_for_chi_square_are_tested_exactly() -> None:
    assert homogeneity(np.array([[50_000, 0], [198, 2]]))[1] == pytest.approx(1.57e-5, rel=0.01)
    assert homogeneity(np.array([[800, 0], [200, 0]]))[1] == 1.0


def test_empty_samples_are_no_drift() -> None:
    assert not any(f.drifted for f in single(np.empty(0), np.empty(0), NUMBER))
    assert not any(f.drifted for f in single(objects(), objects("a"), CATEGORY))


def test_a_heavy_tail_does_not_hide_a_shift_nor_make_one() -> None:
    rng = np.random.default_rng(4)
    before, same = rng.standard_cauchy(5000), rng.standard_cauchy(5000)
    assert wasserstein(before, same) < 0.1
    assert wasserstein(before, same + 5) > 0.3


def test_a_constant_reference_has_the_differing_share_as_its_effect() -> None:
    assert wasserstein(np.full(100, 3.0), np.array([3.0, 3.0, 4.0, 5.0])) == 0.5


def test_the_stability_index_of_equal_shares_is_zero_and_of_an_empty_cell_finite() -> None:
    assert population_stability(np.array([[10, 90], [10, 90]])) == 0
    assert 0.5 < population_stability(np.array([[0, 800], [100, 900]])) < 1


def test_holm_adjusts_as_published() -> None:
    """The worked example of Wright, Biometrics 48 (1992): 4 × 0.005, 3 × 0.01 and then 0.04, kept rising."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert len(holm(np.empty(0))) == 0


def test_the_tests_of_missing_values_are_in_the_family() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=500), rng.normal(0.2, size=500)
    (alone,) = single(before, after, NUMBER)
    before[0] = np.nan
    values, _ = single(before, after, NUMBER)
    assert alone.adjusted_p == alone.p_value
    assert values.adjusted_p == pytest.approx(2 * values.p_value)


def test_a_significant_but_tiny_change_is_no_alarm_and_says_so() -> None:
    rng = np.random.default_rng(6)
    (found,) = single(rng.normal(size=50_000), rng.normal(0.05, size=50_000), NUMBER)
    assert found.adjusted_p < 0.001
    assert not found.drifted
    assert found.sentence.endswith("Too little to matter.")


def test_a_bundle_pins_method_and_minimum_per_feature(tmp_path) -> None:
    pinned = {"method": "chi2", "minimum_effect": {"measure": "psi", "value": 0.5}}
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"significance": 0.01, "features": {"age": pinned}}))
    thresholds = Thresholds.load(path)
    (found,) = compare(
        {"age": np.repeat([1.0, 2.0], 50)}, {"age": np.repeat([1.0, 2.0], [20, 80])}, [NUMBER], thresholds
    )
    assert (thresholds.significance, found.method, found.minimum) == (0.01, "chi2", 0.5)
    assert found.adjusted_p < 0.01
    assert not found.drifted


def test_one_cutoff_separates_what_holm_rejects() -> None:
    rng = np.random.default_rng(7)
    columns = [Column(f"x{i}", "number") for i in range(8)]
    before = {c.name: rng.normal(size=400) for c in columns}
    after = {c.name: rng.normal(0.3 * (i < 3), size=400) for i, c in enumerate(columns)}
    found = compare(before, after, columns, Thresholds())
    cutoff = holm_cutoff(found, 0.05)
    assert [f.p_value <= cutoff for f in found] == [f.adjusted_p <= 0.05 for f in found]
    assert any(f.p_value <= cutoff for f in found)


@pytest.mark.parametrize("value", [1e308, -1e308, 3e38])
def test_values_as_large_as_numbers_are_have_a_finite_effect(value: float) -> None:
    reference = {"x": np.array([0.0] * 999 + [1e-300])}
    [finding] = compare(reference, {"x": np.full(500, value)}, [Column("x", "number")], Thresholds())
    assert np.isfinite(finding.effect)
    assert finding.drifted
