"""Baselines: without a declared bound a model must be better than trivial, and no default refuses one that is."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest

from pipelines.baseline_models import fit_trivial
from slipway.contracts.schema import Schema
from tests.pipelines.gates import candidates

NOISE = {"numbers": 0.3, "missing": 0, "other": 0}
QUIET = {"absolute": {}, "robustness": NOISE | {"numbers": 0}}


def by_amount(rows):
    return candidates.probabilities([(row["amount"] or 450) / 900 for row in rows])


def by_chance(rows):
    return candidates.probabilities([crc32(str(row["amount"]).encode()) % 997 / 997 for row in rows])


def wave(amount):
    return (amount // 150) % 2 == 1


def by_waves(rows):
    return candidates.probabilities([0.9 if wave(row["amount"] or 0) else 0.1 for row in rows])


@pytest.fixture
def waves(orders):
    """Orders of every second hundred and a half come back: no linear model knows."""
    orders["returned"] = np.where(wave(orders["amount"].astype(float)), "yes", "no")
    return orders


def test_without_a_bound_a_model_is_compared_with_both_baselines_and_says_so(verdict):
    found = verdict(by_amount, gates=QUIET)
    trivial, linear = found["baseline:trivial"], found["baseline:linear"]
    assert trivial.verdict == linear.verdict == "passed" and trivial.figure > trivial.threshold == 0
    assert "gates.absolute declares no bound" in trivial.sentence and "rows) its ROC AUC differs" in trivial.sentence
    assert "from that of LogisticRegression by" in linear.sentence and "nothing is refused for that" in linear.sentence


@pytest.mark.parametrize("model", [0.0, -0.9, by_chance])
def test_a_model_that_is_not_better_than_trivial_is_refused(verdict, model):
    found = verdict(model, gates=QUIET)["baseline:trivial"]
    assert found.verdict == "failed" and "not shown to be better. Give features that tell more" in found.sentence


@pytest.mark.parametrize(
    ("metric", "title"),
    [("accuracy", "accuracy"), ("log_loss", "log loss"), ("recall", "ROC AUC"), ("ece", "ROC AUC"), ("brier", "Brier")],
)
def test_any_metric_can_tell_and_one_that_a_constant_wins_is_not_asked(verdict, metric, title):
    found = verdict(0.9, gates={"metric": metric, **QUIET})["baseline:trivial"]
    assert found.verdict == "passed" and f"its {title}" in found.sentence


def test_a_declared_bound_is_the_only_one(verdict):
    found = verdict(by_chance, gates=QUIET | {"absolute": {"roc_auc": 0.01}})
    assert found["absolute:roc_auc"].verdict == "passed" and not [name for name in found if "baseline" in name]


def test_a_model_that_is_worse_than_the_linear_one_is_told_so_and_not_refused(verdict):
    def by_gift(rows):
        return candidates.probabilities([0.9 if row["gift"] else (row["amount"] or 0) / 900 for row in rows])

    found = verdict(by_gift, gates=QUIET)
    assert found["baseline:linear"].verdict == "passed" and found["baseline:linear"].figure < 0


@pytest.mark.slow
def test_on_a_stale_holdout_the_comparison_is_waived_and_the_window_decides(verdict):
    def turned(rows):
        return rows.assign(returned=rows["returned"].map({"yes": "no", "no": "yes"}))

    found = verdict(-0.9, champion=0.9, window=turned, gates=QUIET)
    assert (
        found["baseline:trivial"].verdict == "passed" and "newest labelled window" in found["baseline:trivial"].sentence
    )
    assert found["holdout:baseline:trivial"].verdict == "waived"


def test_a_default_refuses_nobody_who_is_better_than_the_baselines(verdict, waves):
    found = verdict(by_waves, gates={"robustness": NOISE})["robustness:numbers:decisions"]
    assert found.verdict == "passed" and found.figure > found.threshold == 0.1
    assert "does not declare gates.robustness.max_changed, and its ROC AUC there differs from that of Logistic" in (
        found.sentence
    )


def test_a_bound_that_is_declared_is_kept_even_at_the_default(verdict, waves):
    found = verdict(by_waves, gates={"robustness": NOISE | {"max_changed": 0.1, "max_drop": 0.05}})
    assert found["robustness:numbers:decisions"].verdict == "failed"
    assert found["robustness:numbers:score"].verdict == "failed"


def test_a_default_still_refuses_who_is_no_better_than_the_baselines(verdict, orders):
    known = {*orders["amount"].astype(float)}

    def turned_where_unknown(rows):
        scores = [(row["amount"] or 450) / 900 for row in rows]
        return candidates.probabilities(
            [s if row["amount"] in known else 1 - s for row, s in zip(rows, scores, strict=True)]
        )

    found = verdict(turned_where_unknown, gates={"robustness": NOISE})
    for refused, bound in (("decisions", "max_changed"), ("score", "max_drop")):
        gate = found[f"robustness:numbers:{refused}"]
        assert gate.verdict == "failed" and "It is worse there than LogisticRegression, too." in gate.sentence
        assert f"declare gates.robustness.{bound}, or numbers: 0 for no such test." in gate.sentence


def test_a_default_refuses_nobody_who_is_better_on_the_rows_as_they_are(verdict, orders):
    """As of real tables of which most rows hold 0 in a column: noise is no small change there."""
    known = dict(zip(orders["amount"].astype(float), orders["returned"] == "yes", strict=True))

    def by_heart(rows):
        return candidates.probabilities([0.1 + 0.8 * known.get(row["amount"], 0.5) for row in rows])

    found = verdict(by_heart, gates={"robustness": NOISE})["robustness:numbers:score"]
    assert found.verdict == "passed" and found.figure < found.threshold == -0.05
    assert "on the rows as they are its ROC AUC is better than that of LogisticRegression: +0." in found.sentence


def test_a_model_that_loses_no_more_than_the_baseline_is_not_refused_by_a_default(verdict):
    def also_by_gift(rows):
        return candidates.probabilities([0.35 * row["gift"] + 0.65 * (row["amount"] or 450) / 900 for row in rows])

    found = verdict(also_by_gift, gates={"robustness": NOISE | {"numbers": 2.0}})["robustness:numbers:decisions"]
    assert found.verdict == "passed" and found.figure > found.threshold
    assert found.sentence.endswith("max_changed, and LogisticRegression loses no less by it.")


def test_a_regression_says_what_a_changed_decision_is(verdict, orders):
    orders["returned"] = orders["amount"]
    target = {"name": "returned", "unit": "EUR"}
    found = verdict(
        lambda rows: np.array([[row["amount"] or 0] for row in rows]),
        task="regression",
        target=target,
        gates=QUIET | {"robustness": NOISE},
    )
    sentence = found["robustness:numbers:decisions"].sentence
    assert "of the values move by more than 2" in sentence and " EUR (a tenth of the target's standard dev" in sentence


def test_a_slice_margin_that_nobody_declares_refuses_nobody_who_is_better_there_than_the_baseline(verdict, waves):
    def by_waves_but_of_gifts(rows):
        sure = [0.1 if row["gift"] else 0.45 for row in rows]
        return candidates.probabilities(
            [0.5 + (s if wave(row["amount"] or 0) else -s) for row, s in zip(rows, sure, strict=True)]
        )

    slices = {"slices": [{"feature": "gift"}], "min_slice_rows": 10, "metric": "log_loss"}
    found = verdict(by_waves_but_of_gifts, gates=slices | {"robustness": QUIET["robustness"]})["slice:gift=true"]
    assert found.verdict == "passed" and "does not declare gates.slice_margin" in found.sentence
    declared = slices | {"robustness": QUIET["robustness"], "slice_margin": 0.1}
    assert verdict(by_waves_but_of_gifts, gates=declared)["slice:gift=true"].verdict == "failed"


def test_rare_classes_that_accuracy_does_not_count_show_skill_by_their_probabilities(verdict, orders):
    """Nobody is ever predicted to bring it back, and yet the probabilities tell who does it more often."""
    amount = orders["amount"].astype(float)
    orders["returned"] = np.where((amount > 700) & (orders.index % 3 == 0), "yes", "no")

    def unsure(rows):
        return candidates.probabilities([0.33 if (row["amount"] or 0) > 700 else 0.01 for row in rows])

    found = verdict(unsure, gates=QUIET | {"metric": "accuracy"})["baseline:trivial"]
    assert found.verdict == "passed" and found.figure > 0
    assert "by +0.000 to +0.000" in found.sentence and "not shown to be better. On" in found.sentence
    assert "its log loss differs from that of always predicting the shares" in found.sentence


def regression(verdict, model, metric=None):
    gates = QUIET | ({"metric": metric} if metric else {})
    return verdict(model, task="regression", target={"name": "returned"}, gates=gates)["baseline:trivial"]


def test_outliers_that_leave_r2_a_wide_interval_hide_no_skill(verdict, orders):
    orders["returned"] = orders["amount"].astype(float) + np.where(orders.index % 29 == 0, 60_000.0, 0.0)
    found = regression(verdict, lambda rows: np.array([[float(row["amount"] or 450)] for row in rows]))
    assert found.verdict == "passed" and "its R² differs" in found.sentence
    assert "mean absolute error differs from that of always predicting the median" in found.sentence


@pytest.mark.parametrize(("metric", "constant"), [("r2", 4.0), ("rmse", 4.0), ("mae", 2.0)])
def test_a_trivial_regression_is_the_best_constant_by_the_metric(metric, constant):
    """By the mean absolute error, the median of a skewed target is better than its mean, and knows no feature."""
    schema = Schema(contract=1, usecase="prices", task="regression", features=(), target="price")
    trivial = fit_trivial(schema, np.array([1.0, 2.0, 9.0], "float32"), metric)
    assert trivial.predict({"numbers": np.zeros((2, 1))}).tolist() == [[constant], [constant]]
