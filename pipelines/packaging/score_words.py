"""The score of a model in words: what its metric measures, and how the model compares with the baseline models."""

from __future__ import annotations

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
        *([_conclude(report.trivial.difference)] if report.trivial and report.trivial.difference else []),
    ]


def format_score(score: Score | BaselineScore | None) -> str:
    """Format a score as `0.781 (0.705 – 0.850)`."""
    if score is None or score.value is None or score.low is None or score.high is None:
        return "not defined"
    interval = f" ({score.low:.3f} – {score.high:.3f})" if score.low < score.high else ""
    return f"{score.value:.3f}{interval}"


def _compare(base: BaselineScore) -> str:
    sentence = f"{base.name} has {format_score(base)}"
    found = base.difference
    if not found or found.low is None or found.high is None:
        return sentence
    verdict = "is better" if found.low > 0 else "is worse" if found.high < 0 else "is not shown to be better or worse"
    return f"{sentence}; the model {verdict} ({found.low:+.3f} to {found.high:+.3f})"


def _conclude(better_than_trivial: Score) -> str:
    if better_than_trivial.low is not None and better_than_trivial.low > 0:
        return "The features tell something about the target, beyond what chance explains (95 % intervals)"
    return "Nothing shows that the model is better than predicting without any feature: do not rely on it"
