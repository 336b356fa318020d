"""The newest labelled window: a challenger must be better on it, and a champion that fell on it waives the holdout."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.gates.candidate import Rows
from tests.pipelines.gates import candidates

pytestmark = pytest.mark.slow


def as_it_was(rows):
    return rows


def turned(rows):
    """The rule of labels is inverted: orders that were returned are kept, and the other way round."""
    return rows.assign(returned=rows["returned"].map({"yes": "no", "no": "yes"}))


def test_without_a_window_the_holdout_rules_alone(verdict):
    found = verdict(0.5, champion=0.5)
    assert found["window"].verdict == "passed" and "no newest labelled window" in found["window"].sentence
    assert found["champion"].verdict == "passed"


def test_better_on_the_window_passes_and_says_on_how_many_rows(verdict):
    found = verdict(0.9, champion=0.1, window=as_it_was)["window"]
    assert found.verdict == "passed" and found.figure > found.threshold == 0
    assert "the newest labelled window (" in found.sentence and "rows)" in found.sentence
    assert "95 % interval" in found.sentence


def test_as_good_on_the_window_is_not_enough(verdict):
    found = verdict(0.5, champion=0.5, window=as_it_was)
    assert found["window"].verdict == "failed" and "not better by more than 0" in found["window"].sentence
    assert found["champion"].verdict == "passed"


def test_a_use_case_may_ask_for_more_than_better(verdict):
    found = verdict(0.9, champion=0.1, window=as_it_was, gates={"window_margin": 0.9})["window"]
    assert found.verdict == "failed" and found.threshold == 0.9


def test_a_window_of_one_class_says_nothing_for_a_challenger(verdict):
    found = verdict(0.9, champion=0.1, window=lambda rows: rows[rows["returned"] == "yes"])
    assert found["window"].verdict == "failed" and "define no ROC AUC" in found["window"].sentence
    assert found["champion"].verdict == "passed"


def test_better_on_the_window_and_worse_on_the_holdout_is_refused_while_the_champion_stands(verdict):
    def right_of_large_orders_alone(rows):
        return candidates.probabilities([_rank(row) if row["items"] == 50 else 1 - _rank(row) for row in rows])

    found = verdict(right_of_large_orders_alone, champion=0, window=lambda rows: rows.assign(items=50))
    assert found["window"].verdict == "passed"
    assert found["champion"].verdict == "failed"


def _rank(row):
    return (row["amount"] or 0) / 900


@pytest.fixture
def after_the_change(verdict):
    """A champion of the old rule, a challenger of the new one."""
    bounds = {"absolute": {"roc_auc": 0.7}, "slices": [{"feature": "gift"}], "min_slice_rows": 10}
    return verdict(-0.9, champion=0.9, window=turned, gates=bounds)


def test_a_champion_that_fell_on_the_window_waives_what_the_holdout_says(after_the_change):
    assert after_the_change["window"].verdict == "passed"
    waived = after_the_change["champion"]
    assert waived.verdict == "waived" and waived.figure < waived.threshold
    assert "Waived: the champion's own ROC AUC on the newest labelled window" in waived.sentence


def test_then_bounds_and_slices_are_checked_on_the_window(after_the_change):
    bound = after_the_change["absolute:roc_auc"]
    assert bound.verdict == "passed" and "on the newest labelled window" in bound.sentence
    stale = after_the_change["holdout:absolute:roc_auc"]
    assert stale.verdict == "waived" and "on the frozen holdout" in stale.sentence and stale.figure < 0.7
    assert "On the newest labelled window, where gift is" in after_the_change["slice:gift=true"].sentence


def test_what_the_holdout_does_not_say_against_it_needs_no_waiver(after_the_change):
    assert not [name for name in after_the_change if name.startswith("holdout:slice")]


def test_then_a_bound_is_still_a_bound(verdict):
    found = verdict(-0.3, champion=0.9, window=turned, gates={"absolute": {"roc_auc": 0.99}})
    assert found["champion"].verdict == "waived" and found["absolute:roc_auc"].verdict == "failed"


def test_a_change_of_the_world_helps_nobody_who_is_no_better_in_it(verdict):
    found = verdict(0.8, champion=0.9, window=turned)
    assert found["window"].verdict == "failed"


def test_rows_know_how_many_they_are(tmp_path):
    pd.DataFrame({"a": range(1234)}).to_parquet(tmp_path / "rows.parquet", index=False)
    assert str(Rows("the rows", tmp_path / "rows.parquet")) == "the rows (1,234 rows)"
