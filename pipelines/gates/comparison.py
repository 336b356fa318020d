"""Scores against bounds, against the champion's, and against those of all rows.

The frozen holdout rules while the world stays as it was. Where the champion has fallen on the newest labelled window,
the labels follow another rule than the holdout's: then bounds and slices are asked of the window, and what the holdout
says against the new model is waived, in writing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from pipelines.gates.candidate import Candidate, Rows, read_frame
from slipway.contracts.bundle.gate_report import Gate
from slipway.contracts.schema import compatible
from slipway.evaluation.bootstrap import Interval, difference
from slipway.evaluation.metrics import METRICS
from slipway.evaluation.slices import scores


def absolute(judged: Candidate) -> list[Gate]:
    """The bounds of `gates.absolute`: at least where more is better, else at most."""
    bounds = judged.usecase.gates.absolute.items()
    return _by_todays_rule(judged, lambda rows: [_absolute(judged, rows, name, bound) for name, bound in bounds])


def window(judged: Candidate) -> list[Gate]:
    """Better than the champion on the newest labelled window, by the margin and beyond what chance explains.

    Fails unless even the lower end of the paired difference's interval is above `gates.window_margin`.
    """
    if not judged.comparable:
        return []
    if judged.window is None:
        return [Gate("window", None, None, "passed", "There is no newest labelled window: the frozen holdout rules.")]
    margin, (found, told) = judged.usecase.gates.window_margin, _against_champion(judged, judged.window)
    if found.low is None:
        return [Gate("window", None, margin, "failed", told)]
    verdict, not_ = ("passed", "") if found.low > margin else ("failed", "not ")
    return [Gate("window", found.low, margin, verdict, f"{told}: {not_}better by more than {margin:g}.")]


def champion(judged: Candidate) -> list[Gate]:
    """Not worse than the champion on the frozen holdout, beyond the margin and what chance explains.

    Fails where even the upper end of the paired difference's interval is below the margin; waived where the champion
    has fallen on the window.
    """
    name, margin = "champion", judged.usecase.gates.margin
    if judged.incumbent is None:
        return [Gate(name, None, None, "passed", "There is no champion yet to compare with.")]
    if not judged.comparable:
        return []  # nothing to compare, and `succession` fails
    found, told = _against_champion(judged, judged.holdout)
    if found.high is None:
        return [Gate(name, None, -margin, "failed", told)]
    verdict, not_ = ("failed", "") if found.high < -margin else ("passed", "not ")
    told = f"{told}: {not_}worse by more than the margin of {margin:g}."
    gate = Gate(name, found.high, -margin, verdict, told)
    return [_waived(judged, gate) if gate.failed and judged.fallen else gate]


def compatibility(judged: Candidate) -> list[Gate]:
    """Every request that the champion answers stays valid: a server would refuse to swap otherwise."""
    if judged.incumbent is None:
        return []
    reasons = compatible(judged.incumbent.schema, judged.challenger.schema)
    if reasons:
        told = f"Requests to the champion would become invalid: {'; '.join(reasons)}."
        return [Gate("compatible", float(len(reasons)), 0.0, "failed", told)]
    return [Gate("compatible", 0.0, 0.0, "passed", "Every request that the champion answers stays valid.")]


def slices(judged: Candidate) -> list[Gate]:
    """No slice with enough rows is answered worse than all rows, beyond the margin and what chance explains."""
    return _by_todays_rule(judged, lambda rows: _slices(judged, rows))


def _by_todays_rule(judged: Candidate, verdicts: Callable[[Rows], list[Gate]]) -> list[Gate]:
    """The verdicts on the rows of today's rule; what the holdout says against the model is waived where it is stale."""
    found = verdicts(judged.current)
    if judged.current == judged.holdout:
        return found
    stale = [msgspec.structs.replace(gate, name=f"holdout:{gate.name}") for gate in verdicts(judged.holdout)]
    return found + [_waived(judged, gate) for gate in stale if gate.failed]


def _waived(judged: Candidate, gate: Gate) -> Gate:
    assert judged.fallen
    why = (
        f"Waived: the champion's own {judged.metric.title} on {judged.window} differs from that on the holdout by "
        f"{format_difference(judged.fallen)}, so labels follow another rule now than the holdout's."
    )
    return msgspec.structs.replace(gate, verdict="waived", sentence=f"{gate.sentence} {why}")


def _absolute(judged: Candidate, rows: Rows, name: str, bound: float) -> Gate:
    metric = METRICS[judged.usecase.task][name]
    needed = f"{'at least' if metric.sign > 0 else 'at most'} {bound:g} is needed"
    label, title = f"absolute:{name}", metric.title[0].upper() + metric.title[1:]
    figure = metric.compute(judged.of_challenger(rows))
    if not isfinite(figure):
        return Gate(label, None, bound, "failed", f"{title} is not defined on {rows}; {needed}.")
    verdict = "passed" if metric.sign * (figure - bound) >= 0 else "failed"
    return Gate(label, figure, bound, verdict, f"{title} on {rows} is {figure:.4g}; {needed}.")


def _slices(judged: Candidate, rows: Rows) -> list[Gate]:
    schema, least = judged.challenger.schema, judged.usecase.gates.min_slice_rows
    found = scores(judged.usecase, schema, read_frame(rows, schema), judged.of_challenger(rows), judged.metric)
    return [_slice(judged, rows, part) for part in found if part["rows"] >= least]


def _against_champion(judged: Candidate, rows: Rows) -> tuple[Interval, str]:
    """How much better the new model answers the rows than the champion, paired; as an interval and as words."""
    found = difference(judged.of_challenger(rows), judged.of_champion(rows), judged.metric)
    if found.value is None:
        return found, f"The rows of {rows} define no {judged.metric.title}."
    return found, f"On {rows} its {judged.metric.title} differs from the champion's by {format_difference(found)}"


def _slice(judged: Candidate, rows: Rows, part: dict[str, Any]) -> Gate:
    label, margin = f"slice:{part['feature']}={part['value']}", judged.usecase.gates.slice_margin
    found = Interval(**part["difference"])
    where = f"On {rows.name}, where {part['feature']} is {part['value']} ({part['rows']:,} rows),"
    if found.high is None:
        return Gate(label, None, -margin, "passed", f"{where} the rows define no {judged.metric.title}.")
    told = f"{where} its {judged.metric.title} differs from that over all rows by {format_difference(found)}"
    verdict, not_ = ("failed", "") if found.high < -margin else ("passed", "not ")
    return Gate(label, found.high, -margin, verdict, f"{told}: {not_}worse by more than the margin of {margin:g}.")


def format_difference(found: Interval) -> str:
    """The interval of a difference, for a sentence."""
    return f"{found.low:+.3f} to {found.high:+.3f} (95 % interval; above 0 is better)"
