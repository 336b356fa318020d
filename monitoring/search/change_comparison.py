"""What changed at a time: the rows before and after it are compared, field by field, beside what was done to models."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitoring.search.event_fields import FEATURES
from monitoring.search.event_source import EventSource, require_usecase
from monitoring.search.results import ChangeComparison, Group, Shift, Totals, Window
from slipway import config as usecases
from slipway.errors import ServiceError, UseCaseError
from slipway.timestamps import iso, parse

if TYPE_CHECKING:
    from slipway.config import Feature
    from slipway.settings import Settings

_FIELDS = ("slipway.model_version", "slipway.role", "slipway.label", "slipway.caller", "event.outcome", "error.type")
_LEAST_Z = 4.0  # of hundreds of values compared, chance puts one this far off in less than 1 of 30 comparisons
_LEAST_SHARE = 0.01  # a smaller change explains nothing to a person, however sure it is
_GROUPED = ("category", "boolean")


def compare_around(
    source: EventSource, usecase: str, at: datetime, around: timedelta, config: Settings
) -> ChangeComparison:
    """Compare the rows that callers asked for in the time before `at` with those in as long a time after it.

    Raises:
        NotFound: the use case has no predictions at all.
        ServiceError, OSError: the source does not respond.
    """
    before, after = (at - around, at), (at, at + around)
    totals = source.totals(usecase, before), source.totals(usecase, after)
    if not any(each.rows for each in totals):
        require_usecase(source, usecase)
    shifts = [
        shift
        for field in (*_FIELDS, *_feature_fields(usecase))
        for shift in _shifts(field, totals, source.groups(usecase, before, field), source.groups(usecase, after, field))
    ]
    actions, problems = _actions(usecase, (before[0], after[1]), config)
    return ChangeComparison(
        usecase,
        iso(at),
        round(around.total_seconds() / 60),
        *totals,
        sorted(shifts, key=lambda shift: -abs(shift.z)),
        actions,
        problems,
    )


def _feature_fields(usecase: str) -> list[str]:
    """The features with few values; none where the use case's folder is not on this machine."""
    try:
        features: Iterable[Feature] = usecases.load(usecase).features
    except (UseCaseError, OSError):
        return []
    return [f"{FEATURES}{feature.name}" for feature in features if feature.kind in _GROUPED]


def _shifts(field: str, totals: tuple[Totals, Totals], before: list[Group], after: list[Group]) -> list[Shift]:
    counts = {group.value: group.rows for group in before}, {group.value: group.rows for group in after}
    values = sorted({*counts[0], *counts[1]})
    numbers = totals[0].rows, totals[1].rows
    if not all(numbers):
        return []
    found = (_shift(field, each, (counts[0].get(each, 0), counts[1].get(each, 0)), numbers) for each in values)
    return [shift for shift in found if abs(shift.z) >= _LEAST_Z and abs(shift.after - shift.before) >= _LEAST_SHARE]


def _shift(field: str, value: str, counts: tuple[int, int], numbers: tuple[int, int]) -> Shift:
    """Compare two shares by the z-test of two proportions."""
    shares = counts[0] / numbers[0], counts[1] / numbers[1]
    pooled = sum(counts) / sum(numbers)
    error = math.sqrt(pooled * (1 - pooled) * (1 / numbers[0] + 1 / numbers[1]))
    return Shift(field, value, *shares, (shares[1] - shares[0]) / error if error else 0.0)


def _actions(usecase: str, window: Window, config: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the actions and the verdicts of the time, the oldest first, and why some of them may be missing."""
    from monitoring.governance.alias_changes import describe, occurred_at
    from monitoring.governance.history import readable_lines, verdicts

    since, until = window
    try:
        lines, problems = readable_lines(usecase, config)
        found_verdicts = list(verdicts(usecase, config, since))
    except (ServiceError, OSError) as error:
        return [], [f"What was done to the models is not known: {error}"]
    found = [
        {
            "at": occurred_at(line),
            "action": line.action,
            "version": line.version,
            "who": line.who,
            "why": "; ".join(filter(None, [describe(line.evidence), line.why])),
        }
        for line in lines
        if since <= parse(occurred_at(line)) < until
    ]
    found += [
        {"at": each.at, "action": each.action, "version": each.version, "who": each.who, "why": each.why}
        for each in found_verdicts
        if parse(each.at) < until
    ]
    return sorted(found, key=lambda action: parse(action["at"])), problems
