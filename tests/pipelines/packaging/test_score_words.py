"""Scores in words: what the metric measures, and whether the model is better than the baselines."""

from __future__ import annotations

import pytest

from pipelines.artifacts import BaselineScore, EvaluationReport, Score
from pipelines.packaging.score_words import explain_score


def base(name: str, low: float | None, high: float | None, metric: str = "roc_auc") -> BaselineScore:
    difference = None if low is None else Score((low + high) / 2, low, high)
    return BaselineScore(name=name, metric=metric, value=0.5, low=0.5, high=0.5, difference=difference)


def explained(usecase, orders, **changes) -> list[str]:
    report = EvaluationReport(
        metric=changes.pop("metric", "roc_auc"),
        scores={"roc_auc": Score(0.8, 0.7, 0.9), "recall": Score(1.0, 1.0, 1.0)},
        calibration=None,
        confusion=None,
        slices=[],
        **changes,
    )
    return explain_score(usecase(orders), report)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "the model is better (+0.100 to +0.300)"),
        (-0.1, 0.3, "the model is not shown to be better or worse (-0.100 to +0.300)"),
        (-0.3, -0.1, "the model is worse (-0.300 to -0.100)"),
    ],
)
def test_a_baseline_is_compared_in_words(usecase, orders, low, high, words):
    lines = explained(
        usecase, orders, trivial=base("always predicting the mean", 0.1, 0.3), baseline=base("Ridge", low, high)
    )
    assert (
        lines[0]
        == "ROC AUC 0.800 (0.700 – 0.900): how often a row of the class scores above one of another; guessing 0.5"
    )
    assert lines[2] == f"Ridge has 0.500; {words}"


@pytest.mark.parametrize(
    ("low", "high", "conclusion"),
    [(0.1, 0.3, "The features tell something"), (-0.1, 0.3, "Nothing shows"), (-0.3, -0.1, "Nothing shows")],
)
def test_the_conclusion_follows_from_the_trivial_model(usecase, orders, low, high, conclusion):
    assert explained(usecase, orders, trivial=base("trivial", low, high))[-1].startswith(conclusion)


def test_a_metric_that_a_constant_wins_is_not_the_one_that_is_explained(usecase, orders):
    lines = explained(usecase, orders, metric="recall", trivial=base("trivial", 0.1, 0.3))
    assert lines[0].startswith("ROC AUC 0.800")


def test_a_report_of_an_earlier_release_has_its_linear_baseline_alone(usecase, orders):
    assert explained(usecase, orders, baseline=base("LogisticRegression", None, None))[1:] == [
        "LogisticRegression has 0.500"
    ]
    assert len(explained(usecase, orders)) == 1
