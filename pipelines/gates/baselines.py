"""Compare the candidate with the baseline models where the use case declares no bound of its own."""

from __future__ import annotations

from pipelines.baseline_models import BaselineModel
from pipelines.gates.candidate import Candidate, Rows
from pipelines.gates.comparison import format_difference, on_current_rows
from slipway.contracts.bundle.gate_report import Gate
from slipway.evaluation.bootstrap import Interval, difference

TRIVIAL, LINEAR = "baseline:trivial", "baseline:linear"


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
    """Fail unless the lower end of the paired difference from the trivial model is above 0."""
    found, sentence = _compare(candidate, rows, candidate.trivial)
    sentence = f"gates.absolute declares no bound, so it must be better than a model that knows no feature. {sentence}"
    if found.low is not None and found.low > 0:
        return [Gate(TRIVIAL, found.low, 0.0, "passed", f"{sentence}: better.")]
    advice = "Give features that tell more, or more rows, or declare the bound that is good enough."
    return [Gate(TRIVIAL, found.low, 0.0, "failed", f"{sentence}: not shown to be better. {advice}")]


def _compare_linear(candidate: Candidate, rows: Rows) -> list[Gate]:
    if candidate.linear is None:
        return []
    found, sentence = _compare(candidate, rows, candidate.linear)
    return [Gate(LINEAR, found.low, None, "passed", f"{sentence}; nothing is refused for that.")]


def _compare(candidate: Candidate, rows: Rows, model: BaselineModel) -> tuple[Interval, str]:
    metric = candidate.skill_metric
    found = difference(candidate.score_challenger(rows), candidate.score_baseline(model, rows), metric)
    if found.value is None:
        return found, f"The rows of {rows} define no {metric.title}"
    return found, f"On {rows} its {metric.title} differs from that of {model.name} by {format_difference(found)}"
