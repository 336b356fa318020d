"""Scores against bounds, against the champion's, and against those of all rows.

The frozen holdout rules while the world stays as it was. Where the champion has fallen on the newest labelled window,
the labels follow another rule than the holdout's: then the window is what bounds and slices are looked at on, and what
the holdout says against the new model is waived, in writing.
"""

from __future__ import annotations

from typing import Any

from pipelines.bootstrap import Interval, difference, intervals
from pipelines.gates.judged import Judged, Rows, frame_of
from pipelines.metrics import METRICS
from pipelines.slices import scores
from slipway.bundle import Gate
from slipway.schema import compatible


def absolute(judged: Judged) -> list[Gate]:
    """The bounds of `gates.absolute`: at least where more is better, else at most."""
    return [_absolute(judged, name, bound) for name, bound in judged.usecase.gates.absolute.items()]


def window(judged: Judged) -> list[Gate]:
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


def comparison(judged: Judged) -> list[Gate]:
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
    if found.high >= -margin:
        return [Gate(name, found.high, -margin, "passed", f"{told}: not worse by more than the margin of {margin:g}.")]
    told = f"{told}: worse by more than the margin of {margin:g}."
    if judged.fallen:
        return [Gate(name, found.high, -margin, "waived", f"{told} Waived: {_why_waived(judged, judged.fallen)}")]
    return [Gate(name, found.high, -margin, "failed", told)]


def succession(judged: Judged) -> list[Gate]:
    """Every request that the champion answers stays valid: a server would refuse to swap otherwise."""
    if judged.incumbent is None:
        return []
    reasons = compatible(judged.incumbent.schema, judged.challenger.schema)
    if reasons:
        told = f"Requests to the champion would become invalid: {'; '.join(reasons)}."
        return [Gate("compatible", float(len(reasons)), 0.0, "failed", told)]
    return [Gate("compatible", 0.0, 0.0, "passed", "Every request that the champion answers stays valid.")]


def slices(judged: Judged) -> list[Gate]:
    """No slice with enough rows is answered worse than all rows, beyond the margin and what chance explains."""
    rows, found = judged.current, judged.metrics["slices"]
    if rows != judged.holdout:
        schema = judged.challenger.schema
        found = scores(judged.usecase, schema, frame_of(rows, schema), judged.of_challenger(rows), judged.metric)
    least = judged.usecase.gates.min_slice_rows
    return [_slice(judged, rows, part) for part in found if part["rows"] >= least]


def _absolute(judged: Judged, name: str, bound: float) -> Gate:
    metric, held_out = METRICS[judged.usecase.task][name], judged.metrics["scores"][name]["value"]
    needed = f"{'at least' if metric.sign > 0 else 'at most'} {bound:g} is needed"
    label, title, rows = f"absolute:{name}", metric.title[0].upper() + metric.title[1:], judged.current
    figure, stale = held_out, ""
    if rows != judged.holdout:
        figure = intervals(judged.of_challenger(rows), {name: metric})[name].value
        stale = f" The frozen holdout, on which it is {_number(held_out)}, follows a rule that no longer holds."
    if figure is None:
        return Gate(label, None, bound, "failed", f"{title} is not defined on {rows}; {needed}.{stale}")
    verdict = "passed" if metric.sign * (figure - bound) >= 0 else "failed"
    return Gate(label, figure, bound, verdict, f"{title} on {rows} is {figure:.4g}; {needed}.{stale}")


def _against_champion(judged: Judged, rows: Rows) -> tuple[Interval, str]:
    """How much better the new model answers the rows than the champion, paired; as an interval and as words."""
    found = difference(judged.of_challenger(rows), judged.of_champion(rows), judged.metric)
    if found.value is None:
        return found, f"{rows} define no {judged.metric.title}."
    return found, f"On {rows} its {judged.metric.title} differs from the champion's by {signed(found)}"


def _why_waived(judged: Judged, fallen: Interval) -> str:
    return (
        f"the champion's own {judged.metric.title} on {judged.window} differs from that on the holdout by "
        f"{signed(fallen)}, so labels follow another rule now than the holdout's."
    )


def _slice(judged: Judged, rows: Rows, part: dict[str, Any]) -> Gate:
    label, margin = f"slice:{part['feature']}={part['value']}", judged.usecase.gates.slice_margin
    found = Interval(**part["difference"])
    where = f"On {rows.name}, where {part['feature']} is {part['value']} ({part['rows']:,} rows),"
    if found.high is None:
        return Gate(label, None, -margin, "passed", f"{where} the rows define no {judged.metric.title}.")
    told = f"{where} its {judged.metric.title} differs from that over all rows by {signed(found)}"
    verdict, not_ = ("failed", "") if found.high < -margin else ("passed", "not ")
    return Gate(label, found.high, -margin, verdict, f"{told}: {not_}worse by more than the margin of {margin:g}.")


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def signed(found: Interval) -> str:
    """The interval of a difference, for a sentence."""
    return f"{found.low:+.3f} to {found.high:+.3f} (95 % interval; above 0 is better)"
