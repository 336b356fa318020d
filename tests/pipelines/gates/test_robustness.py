"""Disturbed rows: what is disturbed and what is not, and a model that breaks on them is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.gates.perturbations import PERTURBATIONS, UNKNOWN
from tests.pipelines.gates import candidates
from tests.support import bundles

LARGE = {"numbers": 1.0, "missing": 0.5, "other": 0.5, "noise": 0.2, "brightness": 0.3, "rotation": 20}


def disturbed(kind, rows, schema, size=None):
    return PERTURBATIONS[kind](rows, schema, LARGE[kind] if size is None else size, np.random.default_rng(0))


def test_numbers_move_within_their_range_and_integers_stay_integers():
    rows = disturbed("numbers", bundles.ROWS["loans"], bundles.TABULAR)
    assert all(18 <= row["age"] <= 100 and row["visits"] == int(row["visits"]) >= 0 for row in rows)
    assert any(row["age"] != old["age"] for row, old in zip(rows, bundles.ROWS["loans"], strict=True))
    assert [row["job"] for row in rows] == [row["job"] for row in bundles.ROWS["loans"]]


def test_what_was_missing_stays_so():
    rows = [{**row, "visits": None} for row in bundles.ROWS["loans"]]
    assert {row["visits"] for row in disturbed("numbers", rows, bundles.TABULAR)} == {None}


def test_only_what_may_be_missing_goes_missing():
    rows = disturbed("missing", bundles.ROWS["loans"], bundles.TABULAR)
    missing = {name for row in rows for name, value in row.items() if value is None}
    assert missing == {"visits", "member"}


def test_a_category_becomes_unknown_to_training_and_a_bucket_does_not():
    rows = disturbed("other", bundles.ROWS["private_loans"], bundles.PRIVATE)
    assert {name for row in rows for name, value in row.items() if value == UNKNOWN} == {"job"}


@pytest.mark.parametrize("kind", ["noise", "brightness", "rotation"])
def test_an_image_stays_an_image(kind):
    pixels = np.full((8, 8, 1), 100, "uint8")
    pixels[2:6, 3] = 250
    (row,) = disturbed(kind, [{"image": pixels}], bundles.IMAGES)
    assert row["image"].shape == (8, 8, 1) and row["image"].dtype == np.uint8
    assert (row["image"] != pixels).any()


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_perturbations_are_reproducible(kind):
    schema = bundles.IMAGES if kind in ("noise", "brightness", "rotation") else bundles.TABULAR
    rows = [{"image": np.full((8, 8, 1), 100, "uint8")}] if schema is bundles.IMAGES else bundles.ROWS["loans"]
    assert repr(disturbed(kind, rows, schema)) == repr(disturbed(kind, rows, schema))


def test_a_schema_without_such_features_has_nothing_to_disturb():
    assert disturbed("numbers", [], bundles.IMAGES) is None and disturbed("noise", [], bundles.TABULAR) is None


def by_amount(rows):
    return candidates.probabilities([(row["amount"] or 450) / 900 for row in rows])


def test_a_smooth_model_passes_and_each_verdict_says_on_how_many_rows(verdict):
    found = verdict(by_amount)
    kinds = {name.split(":")[1] for name in found if name.startswith("robustness:")}
    assert kinds == {"numbers", "missing", "other"}, "the orders have no images"
    assert all(gate.verdict == "passed" for name, gate in found.items() if name.startswith("robustness:"))
    assert (
        "rows of the frozen holdout, disturbed by noise of 0.1 standard" in found["robustness:numbers:score"].sentence
    )
    assert "0.0% (0.0% to 0.0%) of the decisions change" in found["robustness:other:decisions"].sentence


def test_a_model_that_learned_amounts_by_heart_is_refused(verdict, orders):
    known = dict(zip(orders["amount"].astype(float), orders["returned"] == "yes", strict=True))
    found = verdict(
        lambda rows: candidates.probabilities([0.1 + 0.8 * known.get(row["amount"], 0.5) for row in rows]),
        gates={"robustness": {"max_drop": 0.05, "max_changed": 0.1}},
    )
    assert found["robustness:numbers:score"].verdict == "failed"
    assert found["robustness:numbers:decisions"].verdict == "failed"
    assert found["robustness:other:score"].verdict == "passed"


def test_a_budget_of_its_own_lets_it_pass(verdict, orders):
    known = dict(zip(orders["amount"].astype(float), orders["returned"] == "yes", strict=True))
    found = verdict(
        lambda rows: candidates.probabilities([0.1 + 0.8 * known.get(row["amount"], 0.5) for row in rows]),
        gates={"robustness": {"max_drop": 1, "max_changed": 1}},
    )
    assert found["robustness:numbers:score"].verdict == "passed"
    assert found["robustness:numbers:decisions"].verdict == "passed"


def test_a_model_that_breaks_on_unknown_categories_is_refused(verdict):
    def breaks(rows):
        return candidates.probabilities([0.99 if row["country"] == UNKNOWN else 0.3 for row in rows])

    found = verdict(breaks, gates={"robustness": {"other": 0.4}})["robustness:other:decisions"]
    assert found.verdict == "failed" and found.figure > found.threshold == 0.1


def test_a_disturbance_of_nothing_is_left_out(verdict):
    found = verdict(by_amount, gates={"robustness": {"numbers": 0}})
    assert "robustness:numbers:score" not in found and "robustness:missing:score" in found
