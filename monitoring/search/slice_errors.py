"""The slices of the data on which the labelled predictions are worst."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from monitoring.rollout.evidence import slice_sql
from monitoring.rollout.policy import PolicySlice, load_policy
from monitoring.search.event_source import EventSource
from monitoring.search.results import SliceError, WorstSlices
from slipway import config as usecases
from slipway.errors import UseCaseError
from slipway.timestamps import iso

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

LEAST_ROWS = 30
MOST_SLICES = 20
WRONG, ABSOLUTE = "share of wrong labels", "mean absolute error"
_GROUPED = ("category", "boolean")
_ERROR = """coalesce(("slipway.label" <> label_true)::INTEGER::DOUBLE, abs("slipway.value" - value_true))"""
_ALL = f"""
SELECT count(error), avg(error), stddev_samp(error), bool_or(is_label)
FROM (SELECT {_ERROR} AS error, label_true IS NOT NULL AS is_label FROM labelled) WHERE isfinite(error)"""
_BY_VALUE = f"""
SELECT value, count(error), avg(error)
FROM (SELECT {{value}} AS value, {_ERROR} AS error FROM labelled) WHERE isfinite(error) GROUP BY value"""


class _Whole(NamedTuple):
    """All labelled rows: their number, the mean and the standard deviation of their errors, and what these are of."""

    rows: int
    error: float | None
    spread: float | None
    are_labels: bool | None


def worst_slices(source: EventSource, usecase: str, since: datetime) -> WorstSlices:
    """Rank the slices of the use case by how surely their error is larger than that of all labelled rows.

    They are the declared ones (`gates.slices`), and the values of each other category and boolean. One with fewer than
    30 labelled rows is left out.

    Raises:
        UseCaseError: the use case's folder is not on this machine, or its file is invalid.
        ServiceError, OSError: the source does not respond.
    """
    parts = _slices(usecase)
    labelled = source.labelled(usecase, since)
    whole = _Whole(0, None, None, None)
    if labelled is not None:
        [row] = labelled.query("labelled", _ALL).fetchall()
        whole = _Whole(*row)
    if labelled is None or whole.error is None:
        problem = f"{source.name} has no labels since then: `slipway feedback {usecase} FILE` sends them."
        return WorstSlices(usecase, iso(since), 0, WRONG, None, [], [problem])
    found = [each for part in parts for each in _errors(labelled, part, whole)]
    worst = sorted((each for each in found if each.z > 0), key=_rank)[:MOST_SLICES]
    measure = WRONG if whole.are_labels else ABSOLUTE
    problems = [] if found else [_too_few(source, whole.rows)]
    return WorstSlices(usecase, iso(since), whole.rows, measure, whole.error, worst, problems)


def _slices(usecase: str) -> list[PolicySlice]:
    if usecase not in usecases.names():
        raise UseCaseError(
            f"{usecase!r} is not in this machine's folder of use cases, whose files declare the slices. It has: "
            f"{', '.join(usecases.names()) or 'none'}. Set SLIPWAY_USECASES."
        )
    declared = load_policy(usecase).slices
    known = {part.feature for part in declared}
    others = [each for each in usecases.load(usecase).features if each.kind in _GROUPED and each.name not in known]
    return [*declared, *(PolicySlice(each.name, ()) for each in others)]


def _errors(labelled: DuckDBPyRelation, part: PolicySlice, whole: _Whole) -> Iterator[SliceError]:
    """Compare the mean error of each value with that of all rows."""
    rows = labelled.query("labelled", _BY_VALUE.format(value=slice_sql(part))).fetchall()
    for value, number, error in rows:
        if number >= LEAST_ROWS:
            deviation = (whole.spread or 0.0) / math.sqrt(number)
            z = (error - whole.error) / deviation if deviation else 0.0
            yield SliceError(part.feature, str(value), number, error, z)


def _too_few(source: EventSource, rows: int) -> str:
    return (
        f"no slice has {LEAST_ROWS} labelled rows: {source.name} has {rows:,} of them since then. Look further back "
        "with --since."
    )


def _rank(part: SliceError) -> tuple[float, str, str]:
    return -part.z, part.feature, part.value
