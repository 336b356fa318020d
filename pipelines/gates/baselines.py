"""Compare the candidate with the baseline models where the use case declares no bound of its own."""

from __future__ import annotations

from pipelines.baseline_models import BaselineModel
from pipelines.gates.candidate import Candidate, Rows
from pipelines.gates.comparison import format_difference, on_current_rows
from slipway.contracts.bundle.gate_report import Gate
from slipway.evaluation.bootstrap import Interval, difference
from slipway.evaluation.metrics import METRICS, Metric, skill_metrics

TRIVIAL, LINEAR = "baseline:trivial", "baseline:linear"
_WHY = "gates.absolute declares no bound, so it must be better than a model that knows no feature."


def baselines(candidate: Candidate) -> list[Gate]:
    """Require the candidate to be better than a trivial model, and state how it compares with a linear one.

    Nothing is checked where `gates.absolute` declares a bound.
    """
    if candidate.usecase.gates.absolute:
        return []
    return on_current_rows(
        candidate, lambda rows: [*_check_trivial(candidate, rows), *_compare_linear(candidate, rows)]
    )


def _check_trivial(candidate: Candidate, rows: Rows) -> list[Gate]:
    """Fail unless the lower end of the paired difference from the trivial model is above 0 by one of the metrics."""
    task, sentences, lows = candidate.usecase.task, [_WHY], []
    for name in skill_metrics(task, candidate.metric_name):
        found, sentence = _compare(candidate, rows, candidate.trivial(name), METRICS[task][name])
        if found.low is not None and found.low > 0:
            return [Gate(TRIVIAL, found.low, 0.0, "passed", " ".join([*sentences, f"{sentence}: better."]))]
        sentences.append(f"{sentence}: not shown to be better.")
        lows.append(found.low)
    advice = "Give features that tell more, or more rows, or declare the bound that is good enough."
    return [Gate(TRIVIAL, lows[0], 0.0, "failed", " ".join([*sentences, advice]))]


def _compare_linear(candidate: Candidate, rows: Rows) -> list[Gate]:
    if candidate.linear is None:
        return []
    found, sentence = _compare(candidate, rows, candidate.linear, candidate.skill_metric)
    return [Gate(LINEAR, found.low, None, "passed", f"{sentence}; nothing is refused for that.")]


def _compare(candidate: Candidate, rows: Rows, model: BaselineModel, metric: Metric) -> tuple[Interval, str]:
    found = difference(candidate.score_challenger(rows), candidate.score_baseline(model, rows), metric)
    if found.value is None:
        return found, f"The rows of {rows} define no {metric.title}"
    return found, f"On {rows} its {metric.title} differs from that of {model.name} by {format_difference(found)}"
