"""Compare the candidate's scores with bounds, and with the champion's scores.

Scores are computed on the frozen holdout. If the champion has degraded on the newest labelled window, concept drift has
made the holdout stale: bounds and slices are then checked on the window, and failures on the holdout are waived with
the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import msgspec

from pipelines.gates.candidate import Candidate, Rows
from pipelines.packaging.score_words import format_numbers
from slipway.contracts.bundle.gate_report import Gate
from slipway.contracts.schema import compatible
from slipway.evaluation.bootstrap import Interval, difference
from slipway.evaluation.metrics import METRICS


def absolute(candidate: Candidate) -> list[Gate]:
    """Check the bounds of `gates.absolute`: lower bounds where more is better, else upper bounds."""
    bounds = candidate.usecase.gates.absolute.items()
    return on_current_rows(
        candidate, lambda rows: [_check_bound(candidate, rows, name, bound) for name, bound in bounds]
    )


def window(candidate: Candidate) -> list[Gate]:
    """Require the candidate to be better than the champion on the newest labelled window.

    Fails unless the lower end of the paired difference's interval is above `gates.window_margin`.
    """
    if not candidate.comparable:
        return []
    if candidate.window is None:
        return [Gate("window", None, None, "passed", "There is no newest labelled window: the frozen holdout rules.")]
    margin = candidate.usecase.gates.window_margin
    found, sentence = _compare_with_champion(candidate, candidate.window)
    if found.low is None:
        return [Gate("window", None, margin, "failed", sentence)]
    verdict, not_ = ("passed", "") if found.low > margin else ("failed", "not ")
    return [Gate("window", found.low, margin, verdict, f"{sentence}: {not_}better by more than {margin:g}.")]


def champion(candidate: Candidate) -> list[Gate]:
    """Require the candidate to be no worse than the champion on the frozen holdout.

    Fails if the upper end of the paired difference's interval is below the margin; waived if the champion has degraded
    on the window.
    """
    name, margin = "champion", candidate.usecase.gates.margin
    if candidate.incumbent is None:
        return [Gate(name, None, None, "passed", "There is no champion yet to compare with.")]
    if not candidate.comparable:
        return []  # nothing to compare, and `compatibility` fails
    found, sentence = _compare_with_champion(candidate, candidate.holdout)
    if found.high is None:
        return [Gate(name, None, -margin, "failed", sentence)]
    verdict, not_ = ("failed", "") if found.high < -margin else ("passed", "not ")
    sentence = f"{sentence}: {not_}worse by more than the margin of {margin:g}."
    gate = Gate(name, found.high, -margin, verdict, sentence)
    return [_waive(candidate, gate) if gate.failed and candidate.degraded else gate]


def compatibility(candidate: Candidate) -> list[Gate]:
    """Require every request that is valid for the champion to stay valid; a server would refuse the swap otherwise."""
    if candidate.incumbent is None:
        return []
    reasons = compatible(candidate.incumbent.schema, candidate.challenger.schema)
    if reasons:
        sentence = f"Requests to the champion would become invalid: {'; '.join(reasons)}."
        return [Gate("compatible", float(len(reasons)), 0.0, "failed", sentence)]
    return [Gate("compatible", 0.0, 0.0, "passed", "Every request that the champion answers stays valid.")]


def on_current_rows(candidate: Candidate, verdicts: Callable[[Rows], list[Gate]]) -> list[Gate]:
    """Return the verdicts on the current rows, and waived failures on the holdout if that is stale."""
    current = verdicts(candidate.current)
    if candidate.current == candidate.holdout:
        return current
    stale = [msgspec.structs.replace(gate, name=f"holdout:{gate.name}") for gate in verdicts(candidate.holdout)]
    return current + [_waive(candidate, gate) for gate in stale if gate.failed]


def _waive(candidate: Candidate, gate: Gate) -> Gate:
    assert candidate.degraded
    why = (
        f"Waived: the champion's own {candidate.metric.title} on {candidate.window} differs from that on the holdout "
        f"by {format_difference(candidate.degraded)}, so labels follow another rule now than the holdout's."
    )
    return msgspec.structs.replace(gate, verdict="waived", sentence=f"{gate.sentence} {why}")


def _check_bound(candidate: Candidate, rows: Rows, name: str, bound: float) -> Gate:
    metric = METRICS[candidate.usecase.task][name]
    needed = f"{'at least' if metric.sign > 0 else 'at most'} {bound:g} is needed"
    label, title = f"absolute:{name}", metric.title[0].upper() + metric.title[1:]
    figure = metric.compute(candidate.score_challenger(rows))
    if not isfinite(figure):
        return Gate(label, None, bound, "failed", f"{title} is not defined on {rows}; {needed}.")
    verdict = "passed" if metric.sign * (figure - bound) >= 0 else "failed"
    return Gate(label, figure, bound, verdict, f"{title} on {rows} is {figure:.4g}; {needed}.")


def _compare_with_champion(candidate: Candidate, rows: Rows) -> tuple[Interval, str]:
    """Return the paired difference of the candidate's score from the champion's, as an interval and as a sentence."""
    found = difference(candidate.score_challenger(rows), candidate.score_champion(rows), candidate.metric)
    if found.value is None:
        return found, f"The rows of {rows} define no {candidate.metric.title}."
    return found, f"On {rows} its {candidate.metric.title} differs from the champion's by {format_difference(found)}"


def format_difference(found: Interval) -> str:
    """Format the interval of a difference for a sentence."""
    assert found.low is not None and found.high is not None
    low, high = format_numbers(found.low, found.high, signed=True)
    return f"{low} to {high} (95 % interval; above 0 is better)"
