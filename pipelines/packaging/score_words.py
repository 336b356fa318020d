"""The score of a model in words: what its metric measures, and how the model compares with the baseline models."""

from __future__ import annotations

from math import floor, inf, log10

from pipelines.artifacts import BaselineScore, EvaluationReport, Score
from slipway.config import UseCase
from slipway.evaluation.metrics import METRICS


def explain_score(usecase: UseCase, report: EvaluationReport) -> list[str]:
    """Return a line about the score that models are compared by, one for each baseline model, and a conclusion."""
    baselines = [base for base in (report.trivial, report.baseline) if base]
    name = baselines[0].metric if baselines else report.metric
    metric = METRICS[usecase.task][name]
    return [
        f"{metric.title} {format_score(report.scores.get(name))}: {metric.meaning}",
        *(_compare(base) for base in baselines),
        *([_conclude(report.trivial)] if report.trivial and report.trivial.difference else []),
    ]


def format_score(score: Score | BaselineScore | None) -> str:
    """Format a score as `0.781 (0.705 to 0.850)`."""
    if score is None or score.value is None or score.low is None or score.high is None:
        return "not defined"
    value, low, high = format_numbers(score.value, score.low, score.high)
    return f"{value} ({low} to {high})" if score.low < score.high else value


def format_numbers(*values: float, signed: bool = False) -> list[str]:
    """Format numbers that belong together: three decimals, but four digits from 10 on, and three below 0.01."""
    largest = max(abs(value) for value in values)
    power = floor(log10(largest)) if 0 < largest < inf else 0
    decimals = max(3 - power, 0) if power > 0 else 3 if power >= -2 else 2 - power
    return [f"{round(value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}" for value in values]


def _compare(base: BaselineScore) -> str:
    sentence = f"{base.name} has {format_score(base)}"
    found = base.difference
    if not found or found.low is None or found.high is None:
        return sentence
    verdict = "is better" if found.low > 0 else "is worse" if found.high < 0 else "is not shown to be better or worse"
    low, high = format_numbers(found.low, found.high, signed=True)
    return f"{sentence}; the model {verdict} ({low} to {high})"


def _conclude(trivial: BaselineScore) -> str:
    if trivial.is_beaten:
        return "The features tell something about the target, beyond what chance explains (95 % intervals)"
    return "Nothing shows that the model is better than predicting without any feature: do not rely on it"
