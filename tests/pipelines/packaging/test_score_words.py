"""Scores in words: what the metric measures, and whether the model is better than the baselines."""

from __future__ import annotations

import pytest

from pipelines.artifacts import BaselineScore, EvaluationReport, Score
from pipelines.packaging.score_words import explain_score, format_numbers, format_score


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
        == "ROC AUC 0.800 (0.700 to 0.900): how often a row of the class scores above one of another; guessing 0.5"
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


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (Score(0.8, 0.7, 0.9), "0.800 (0.700 to 0.900)"),
        (Score(-0.017, -0.142, -0.0001), "-0.017 (-0.142 to 0.000)"),
        (Score(0.0, 0.0, 0.0), "0.000"),
        (Score(1142.51, 1036.939, 1250.174), "1143 (1037 to 1250)"),
        (Score(964.101, 870.032, 979.4), "964.1 (870.0 to 979.4)"),
        (Score(2.5e-06, 2.1e-06, 3.04e-06), "0.00000250 (0.00000210 to 0.00000304)"),
        (Score(3.2e9, 3.1e9, 3.3e9), "3200000000 (3100000000 to 3300000000)"),
        (Score(0.5, None, None), "not defined"),
    ],
)
def test_a_score_of_any_size_can_be_read(score, words):
    """The errors of a regression are in the target's unit: 0.000 would say that a small one is none."""
    assert format_score(score) == words


def test_a_difference_has_signs_and_no_negative_zero():
    assert format_numbers(-0.0001, 0.09, signed=True) == ["+0.000", "+0.090"]
    assert format_numbers(-3e-06, 4e-05, signed=True) == ["-0.0000030", "+0.0000400"]
    assert format_numbers(float("inf"), 1.0) == ["inf", "1.000"]
