"""Metrics equal scikit-learn's, intervals hold what they promise, calibration and threshold do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as known

from pipelines.modeling import calibration as calibrate
from slipway.config import Cost
from slipway.contracts.schema import Schema
from slipway.evaluation.bootstrap import against_all, difference, fall, intervals, mean
from slipway.evaluation.metrics import METRICS, Scored, calibration, computable, scored_predictions, skill_metric


def made(classes: int, rows: int = 400, skill: float = 0.4, seed: int = 0) -> Scored:
    """Outputs that are right more often than not, rounded so that scores are equal here and there."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    outputs = rng.dirichlet(np.ones(classes), rows)
    outputs[np.arange(rows), truth] += skill
    outputs = np.round(outputs / outputs.sum(axis=1, keepdims=True), 2)
    outputs /= outputs.sum(axis=1, keepdims=True)
    if classes == 2:
        label = (outputs[:, 1] >= 0.3).astype(int)
        return Scored(truth, outputs, label, 1, Cost(false_negative=5))
    return Scored(truth, outputs, outputs.argmax(axis=1))


@pytest.mark.parametrize("classes", [2, 4])
def test_they_equal_scikit_learns(classes):
    rows = made(classes)
    truth, label, p = rows.truth, rows.label, rows.outputs
    expected = {
        "accuracy": known.accuracy_score(truth, label),
        "balanced_accuracy": known.balanced_accuracy_score(truth, label),
        "f1_macro": known.f1_score(truth, label, average="macro"),
        "log_loss": known.log_loss(truth, p),
        "roc_auc": known.roc_auc_score(truth, p[:, 1] if classes == 2 else p, multi_class="ovr"),
        "brier": known.brier_score_loss(truth, p[:, 1])
        if classes == 2
        else ((p - np.eye(4)[truth]) ** 2).sum(1).mean(),
    }
    if classes == 2:
        expected["average_precision"] = known.average_precision_score(truth, p[:, 1])
        expected["precision"] = known.precision_score(truth, label)
        expected["recall"] = known.recall_score(truth, label)
    else:
        expected["precision_macro"] = known.precision_score(truth, label, average="macro")
        expected["recall_macro"] = known.recall_score(truth, label, average="macro")
    for name, value in expected.items():
        assert METRICS["binary" if classes == 2 else "multiclass"][name].compute(rows) == pytest.approx(value), name


def test_a_class_that_is_never_predicted_or_never_occurs_counts_as_scikit_learn_counts_it():
    rows = Scored(np.array([0, 0, 1, 2]), np.zeros((4, 4)), np.array([0, 3, 0, 2]))
    for name, score in (("precision_macro", known.precision_score), ("recall_macro", known.recall_score)):
        expected = score(rows.truth, rows.label, average="macro", zero_division=0)
        assert METRICS["multiclass"][name].compute(rows) == pytest.approx(expected)


def test_nothing_predicted_positive_has_no_precision_and_no_positives_no_recall():
    nothing = Scored(np.array([0, 1]), np.zeros((2, 2)), np.array([0, 0]), 1)
    assert (
        np.isnan(METRICS["binary"]["precision"].compute(nothing)) and METRICS["binary"]["recall"].compute(nothing) == 0
    )
    assert np.isnan(METRICS["binary"]["recall"].compute(nothing.at(np.array([0]))))


def test_a_metric_by_which_a_constant_can_be_best_compares_with_no_baseline():
    assert [skill_metric("binary", name) for name in ("recall", "precision", "ece", "brier")] == [
        *["roc_auc"] * 3,
        "brier",
    ]
    assert skill_metric("multiclass", "ece") == "accuracy" and skill_metric("regression", "rmse") == "rmse"


def test_a_regressions_equal_scikit_learns():
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 10, 200)
    rows = Scored(truth, (truth + rng.normal(0, 3, 200))[:, None], np.zeros(200, int))
    values = {name: metric.compute(rows) for name, metric in METRICS["regression"].items()}
    assert values["r2"] == pytest.approx(known.r2_score(truth, rows.outputs[:, 0]))
    assert values["mae"] == pytest.approx(known.mean_absolute_error(truth, rows.outputs[:, 0]))
    assert values["rmse"] == pytest.approx(known.root_mean_squared_error(truth, rows.outputs[:, 0]))


def test_the_expected_cost_counts_each_kind_of_mistake():
    rows = Scored(np.array([1, 1, 0, 0]), np.zeros((4, 2)), np.array([1, 0, 1, 0]), 1, Cost(false_negative=5))
    assert METRICS["binary"]["expected_cost"].compute(rows) == (5 + 1) / 4


def test_rows_of_one_class_define_no_auc():
    rows = made(2)
    alone = rows.at(rows.truth == 1)
    assert intervals(alone, {"roc_auc": METRICS["binary"]["roc_auc"]})["roc_auc"] == (None, None, None)


def test_calibration_bins_count_every_row():
    rows = made(2)
    assert sum(part["rows"] for part in calibration(rows)) == len(rows)


@pytest.mark.slow
def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    """Accuracy of rows that are right with probability 0.8; 95 % of intervals should hold it."""
    metric = {"accuracy": METRICS["binary"]["accuracy"]}
    rng, held = np.random.default_rng(3), 0
    for _ in range(60):
        right = (rng.random(200) < 0.8).astype(int)
        found = intervals(Scored(np.ones(200, int), np.zeros((200, 2)), right, 1), metric, rounds=200)["accuracy"]
        held += found.low <= 0.8 <= found.high
    assert held >= 52


def test_the_paired_difference_is_narrower_than_two_apart():
    metric = METRICS["binary"]["log_loss"]
    rows = made(2)
    worse = Scored(rows.truth, calibrate.soften(rows.outputs, 1.3), rows.label, 1)
    paired = difference(rows, worse, metric)
    alone = intervals(rows, {"log_loss": metric})["log_loss"]
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    assert difference(rows, rows, metric) == (0.0, 0.0, 0.0)


def test_a_slice_that_is_answered_badly_stands_out():
    rows = made(2, rows=1000)
    bad = np.arange(1000) < 200
    label = np.where(bad, 1 - rows.truth, rows.truth)
    found = against_all(bad, Scored(rows.truth, rows.outputs, label, 1), METRICS["binary"]["accuracy"])
    assert found.value == pytest.approx(-0.8) and found.high < -0.7


@pytest.mark.slow
def test_a_model_that_stands_has_fallen_about_as_seldom_as_the_interval_says(monkeypatch):
    monkeypatch.setattr("slipway.evaluation.bootstrap._WORK", 40_000)  # 200 rounds
    metric = METRICS["binary"]["accuracy"]
    rng, held = np.random.default_rng(4), 0
    for _ in range(60):
        now, before = ((rng.random(count) < 0.8).astype(int) for count in (200, 300))
        found = fall(*(Scored(np.ones_like(r), np.zeros((len(r), 2)), r, 1) for r in (now, before)), metric)
        held += found.low <= 0 <= found.high
    assert held >= 52


def test_a_model_that_fell_has_fallen_by_so_much():
    rows, metric = made(2, skill=0.9), METRICS["binary"]["roc_auc"]
    turned = Scored(1 - rows.truth, rows.outputs, rows.label, 1)
    found = fall(turned, rows, metric)
    assert found.low < found.value < found.high < -0.5


def test_a_share_of_flags_has_an_interval():
    found = mean(np.arange(400) < 40)
    assert found.value == 0.1 and 0.06 < found.low < 0.1 < found.high < 0.14
    assert mean(np.zeros(50, bool)) == (0, 0, 0)


def test_temperature_undoes_what_sharpened_the_probabilities():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), 5000)
    truth = np.array([rng.choice(3, p=row) for row in honest])
    sharpened = calibrate.soften(honest, 0.5)
    found = calibrate.temperature(sharpened, truth)
    assert found == pytest.approx(2.0, abs=0.15)
    assert calibrate.log_loss(calibrate.soften(sharpened, found), truth) < calibrate.log_loss(sharpened, truth)


def test_the_threshold_is_where_both_mistakes_cost_the_same():
    assert calibrate.threshold(Cost(false_negative=5, false_positive=1)) == pytest.approx(1 / 6)
    assert calibrate.threshold(None) == 0.5


def schema(task: str, classes: tuple[str, ...] = (), positive: str | None = None) -> Schema:
    return Schema(1, "loans", task, (), "target", classes, positive)


def test_logged_predictions_of_a_binary_task_have_every_metric():
    rows = {"label_true": ["no", "yes", "yes"], "label": ["no", "no", "yes"], "score": [0.1, 0.4, 0.9]}
    found = scored_predictions(schema("binary", ("no", "yes"), "yes"), None, rows)
    assert set(computable("binary", found)) == set(METRICS["binary"])
    assert METRICS["binary"]["accuracy"].compute(found) == pytest.approx(2 / 3)
    assert METRICS["binary"]["roc_auc"].compute(found) == 1
    turned = scored_predictions(schema("binary", ("yes", "no"), "yes"), None, rows)
    assert METRICS["binary"]["brier"].compute(turned) == METRICS["binary"]["brier"].compute(found)


def test_logged_predictions_of_many_classes_have_the_metrics_of_labels():
    rows = {"label_true": ["a", "b", "c"], "label": ["a", "b", "b"], "score": [0.5, 0.6, 0.7]}
    found = scored_predictions(schema("multiclass", ("a", "b", "c")), None, rows)
    assert set(computable("multiclass", found)) == {
        *("accuracy", "balanced_accuracy", "f1_macro", "precision_macro", "recall_macro")
    }
    assert METRICS["multiclass"]["f1_macro"].compute(found) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_logged_predictions_of_a_regression_have_its_metrics():
    found = scored_predictions(schema("regression"), None, {"value_true": [1.0, 3.0], "value": [2.0, 3.0]})
    assert set(computable("regression", found)) == {"r2", "rmse", "mae"}
    assert METRICS["regression"]["mae"].compute(found) == 0.5


def test_fewer_rounds_give_an_interval_of_the_same_value():
    rows, metric = made(2), {"accuracy": METRICS["binary"]["accuracy"]}
    many, few = intervals(rows, metric)["accuracy"], intervals(rows, metric, rounds=50)["accuracy"]
    assert many.value == few.value and few.low < few.value < few.high
