"""Live quality watches what a use case is gated on, with the metrics of training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from monitoring.analysis.quality import QualityMetrics, Score, compare_score, scores
from monitoring.monitor import monitor
from slipway.config import load
from slipway.contracts.schema import Schema
from slipway.evaluation.metrics import METRICS
from tests.support.prediction_log import watched_loans as loans

GATED = "gates: {metric: f1_macro, absolute: {expected_cost: 0.9}}\n"


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    file = tmp_path / "usecases" / "loans" / "usecase.yaml"
    file.write_text(file.read_text() + GATED)
    return loans.write_bundle(tmp_path / "bundle", loans.rows(800, seed=1))


def test_a_model_that_is_gated_on_macro_f1_is_watched_on_it(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(300, seed=11)
    loans.log_labels(loans.answer(frame, digest), frame["label_true"].tolist())
    metrics = monitor("loans", bundle=tmp_path / "bundle", detailed=False)["quality"]["metrics"]
    assert list(metrics) == ["accuracy", "roc_auc", "brier", "f1_macro", "expected_cost"]
    assert metrics["f1_macro"]["value"] == pytest.approx(f1_score(frame["label_true"], frame["label"], average="macro"))
    assert not metrics["f1_macro"]["worse"]


def test_a_metric_that_falls_below_the_reference_is_named_by_its_title(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(300, seed=12)
    ids = loans.answer(frame, digest)
    loans.log_labels(ids, ["good" if label == "bad" else "bad" for label in frame["label"]])
    quality = monitor("loans", bundle=tmp_path / "bundle", detailed=False)["quality"]
    assert quality["metrics"]["f1_macro"]["worse"]
    assert "Worse than on the reference: accuracy, " in quality["sentence"]
    assert "macro F1" in quality["sentence"]


def test_the_quality_of_a_callers_predictions_is_not_what_another_says(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(300, seed=12)
    ids = loans.answer(frame, digest, caller="app")
    loans.log_labels(ids, frame["label_true"].tolist(), caller="app")
    wrong = ["good" if label == "bad" else "bad" for label in frame["label"]]
    loans.log_labels(ids, wrong, known="2999-12-31T00:00:00Z", caller="somebody")
    quality = monitor("loans", bundle=tmp_path / "bundle", detailed=False)["quality"]
    assert quality["labelled"] == 300
    assert not any(metric["worse"] for metric in quality["metrics"].values())


def test_of_a_multiclass_model_only_metrics_of_labels_are_known(tmp_path: Path, digest: str) -> None:
    schema = Schema.load(tmp_path / "bundle" / "serve" / "schema.json")
    three = Schema(1, "loans", "multiclass", schema.features, "risk", ("a", "b", "c"))
    labels = np.array(["a", "b", "c", "a"] * 10)
    frame = pd.DataFrame({"label_true": labels, "label": np.roll(labels, 1), "score": 0.8})
    watched = QualityMetrics(("accuracy", "f1_macro", "roc_auc", "log_loss"))
    found = scores(frame, three, watched)
    assert list(found) == ["accuracy", "f1_macro"]
    assert found["f1_macro"].value == pytest.approx(f1_score(frame["label_true"], frame["label"], average="macro"))


def test_worse_goes_by_the_direction_of_the_metric(tmp_path: Path, digest: str) -> None:
    assert QualityMetrics.of(load("loans")).names[-2:] == ("f1_macro", "expected_cost")
    low, high = scored(0.1), scored(0.9)
    assert compare_score(METRICS["binary"]["f1_macro"], low, high)["worse"]
    assert not compare_score(METRICS["binary"]["f1_macro"], high, low)["worse"]
    assert compare_score(METRICS["binary"]["expected_cost"], high, low)["worse"]


def scored(value: float) -> Score:
    return Score(value, value - 0.01, value + 0.01)


@pytest.mark.parametrize("label", [1e308, -1e308, 1e200])
def test_a_label_as_large_as_numbers_are_leaves_a_verdict_that_can_be_written(label: float) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"value": rng.normal(size=100), "value_true": rng.normal(size=100)})
    frame.loc[99, "value_true"] = label
    frame = frame.assign(label=None, score=None, label_true=None)
    found = scores(frame, Schema(1, "loans", "regression", (), "price"), QualityMetrics(("mae", "rmse", "r2")))
    json.dumps({name: vars(score) for name, score in found.items()}, allow_nan=False)
    assert "rmse" not in found


def test_metrics_that_the_labels_do_not_define_are_named(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(200, seed=11)
    loans.log_labels(loans.answer(frame, digest), ["good"] * 200)
    quality = monitor("loans", bundle=tmp_path / "bundle", detailed=False)["quality"]
    assert "roc_auc" not in quality["metrics"]
    assert quality["sentence"].endswith("These labels do not define ROC AUC.")
