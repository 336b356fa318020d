"""Evidence of a rollout: the statistics of the prediction log that the tests use.

A request counts once, by its first row, so that one large batch does not decide. A row that was routed to the canary is
the canary's, also where it failed and the champion answered: such rows are successes of neither. The same statistics
are collected without each caller, so that no single one can turn a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis.caller_groups import CallerGroup, caller_groups, describe_group
from monitoring.rollout import sequential_tests
from monitoring.rollout.policy import Policy, PolicySlice
from monitoring.rollout.sequential_tests import Sample
from monitoring.rollout.state import RolloutState
from slipway.contracts.schema import bin_labels
from slipway.evaluation.slices import named_slice
from slipway.prediction_log import describe
from slipway.prediction_log.jsonl import feature_text, literal, literals
from slipway.timestamps import parse

if TYPE_CHECKING:
    from slipway.prediction_log import Log

BASELINE_ROWS = 100  # the champion's first values, which set the scale for later ones
_MIN_BASELINE_ROWS = 20
NOTHING = Sample(0, 0)


@dataclass(frozen=True)
class Evidence:
    """Samples of the canary and of the champion by test.

    `scores` are the numbers of scores of both, `distance` is their Kolmogorov-Smirnov distance. `predictions` counts
    the canary's in this stage, `labelled` its labels since the rollout began, `requests` those of both since then.
    `without` is the evidence that is left without each caller, by the caller's name; where there is one caller only,
    `single_caller` says so. `left_out` says which files of the log could not be read.
    """

    predictions: int = 0
    labelled: int = 0
    means: dict[str, tuple[Sample, Sample]] = field(default_factory=dict)
    scores: tuple[int, int] = (0, 0)
    distance: float = 0.0
    requests: int = 0
    without: dict[str, Evidence] = field(default_factory=dict)
    single_caller: str = ""
    left_out: str = ""

    @property
    def fewest_predictions(self) -> tuple[int, str]:
        """The canary's predictions in this stage without the caller that sent most of them, and that caller."""
        return min((each.predictions, name) for name, each in ({"": self} | self.without).items())

    @property
    def fewest_labelled(self) -> int:
        return min(each.labelled for each in (self, *self.without.values()))


def gather(log: Log, usecase: str, running: RolloutState, policy: Policy) -> Evidence:
    """Collect the evidence since the rollout began, of the canary and of the champion that it is compared with.

    Raises:
        ServiceError, OSError, duckdb.Error: the log cannot be read.
    """
    since = parse(running.began)
    events = log.predictions(usecase, since, answered=False)
    requests = events.query("events", _EVENTS.format(**_arms(running))).fetchnumpy()
    labels = _labelled(log, usecase, since, running, policy, requests)
    collect = partial(_collect, stage=parse(running.since).timestamp() * 1000, policy=policy)
    groups = caller_groups(requests["caller"]) if policy.canary.callers == "several" else []
    without = {describe_group(each): collect(_without(requests, each), _without(labels, each)) for each in groups}
    whole = collect(requests, labels)
    return replace(
        whole, without=without, single_caller=_single_caller(requests["caller"]), left_out=describe(log.left_out)
    )


def _single_caller(callers: np.ndarray) -> str:
    """Say that all requests are of one caller, where they are: then no verdict can hold without it."""
    if len(found := set(callers)) != 1:
        return ""
    return (
        f"all requests are of caller {found.pop()}"
        if found != {""}
        else ("no request had a credential, so all callers count as one")
    )


def _without(rows: dict[str, Any], callers: CallerGroup) -> dict[str, Any]:
    """The rows that none of the callers requested or labelled."""
    theirs = [pd.Series(rows[name]).isin(callers) for name in ("caller", "labeler") if name in rows]
    kept = ~np.logical_or.reduce(theirs)
    return {name: column[kept] for name, column in rows.items()}


def _collect(requests: dict[str, Any], labels: dict[str, Any], stage: float, policy: Policy) -> Evidence:
    """Collect the evidence of these requests and labels; `stage` is the stage's start in milliseconds."""
    canary, ok = requests["canary"].astype(bool), requests["ok"].astype(bool)
    champion, answer = ~canary, _numbers(requests["answer"])
    scores = [answer[arm & ok & np.isfinite(answer)] for arm in (canary, champion)]
    means = {"errors": _samples(~ok, canary, champion), "time": _slow(requests, ok, canary, champion, policy)}
    losses = _losses(labels, policy)
    return Evidence(
        predictions=int(np.sum(canary & (requests["moment"] >= stage))),
        labelled=int(losses["loss"][0].n),
        means=means | losses,
        scores=(len(scores[0]), len(scores[1])),
        distance=sequential_tests.distance(*scores),
        requests=len(canary),
    )


def _samples(values: np.ndarray, canary: np.ndarray, champion: np.ndarray) -> tuple[Sample, Sample]:
    mine, theirs = (Sample(int(arm.sum()), float(values[arm].sum())) for arm in (canary, champion))
    return mine, theirs


def _slow(
    found: dict[str, np.ndarray], ok: np.ndarray, canary: np.ndarray, champion: np.ndarray, policy: Policy
) -> tuple[Sample, Sample]:
    """Count the predictions that took longer than `max_slowdown` times the champion's first median; cached ones are
    left out."""
    ran = ok & ~found["cached"].astype(bool)
    first = np.flatnonzero(champion & ran)
    if len(first) < _MIN_BASELINE_ROWS:
        return NOTHING, NOTHING
    first = first[np.argsort(found["moment"][first], kind="stable")][:BASELINE_ROWS]
    milliseconds = found["ms"].astype(float)
    slow = milliseconds > policy.canary.max_slowdown * np.median(milliseconds[first])
    return _samples(slow, canary & ran, champion & ran)


def _labelled(
    log: Log, usecase: str, since: datetime, running: RolloutState, policy: Policy, requests: dict[str, Any]
) -> dict[str, Any]:
    """The labelled predictions: who requested and labelled each, what is needed for its loss, and its slices."""
    fallen = sorted(set(np.ma.masked_equal(requests["fallen"], None).compressed()))
    named = _arms(running) | {
        "fallen": literals(fallen) if fallen else "[]::VARCHAR[]",
        "positive": literal(policy.positive or ""),
        "slices": "".join(f", {slice_sql(each)} AS slice_{number}" for number, each in enumerate(policy.slices)),
    }
    labelled = log.labelled(usecase, since, labels=policy.classes or None)
    return labelled.query("labelled", _LABELLED.format(**named)).fetchnumpy()


def _losses(labels: dict[str, Any], policy: Policy) -> dict[str, tuple[Sample, Sample]]:
    """The losses over all labelled predictions and over each declared slice."""
    canary = labels["canary"].astype(bool)
    loss, usable = _loss(labels, ~canary, policy)
    return {
        name: _samples(loss, canary & rows & usable, ~canary & rows & usable)
        for name, rows in [("loss", np.ones(len(canary), bool)), *_sliced(labels, policy)]
    }


def _loss(found: dict[str, Any], champion: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each row from 0 to 1, and which rows have one.

    In a classification it is the cost of a wrong label, the more expensive mistake being 1; in a regression the
    absolute error relative to the largest of the champion's first ones.
    """
    error = _numbers(found["error"])
    if not np.isfinite(error).any():
        missed, false = policy.costs
        wrong = found["wrong"].astype(bool)
        return np.where(found["positive"].astype(bool), missed, false) * wrong, np.ones(len(wrong), bool)
    usable = np.isfinite(error)
    first = np.flatnonzero(champion & usable)
    first = first[np.argsort(found["moment"][first], kind="stable")][:BASELINE_ROWS]
    if len(first) < _MIN_BASELINE_ROWS:
        return np.zeros(len(error)), np.zeros(len(error), bool)
    scale = max(float(error[first].max()), np.finfo(float).tiny)
    return np.where(usable, np.minimum(error / scale, 1.0), 0.0), usable


def _sliced(found: dict[str, Any], policy: Policy) -> Iterator[tuple[str, np.ndarray]]:
    for number, each in enumerate(policy.slices):
        values = np.asarray(found[f"slice_{number}"], str)
        for value in each.values:
            yield named_slice("loss where {} is {}", each.feature, value), values == value


def _numbers(column: np.ndarray) -> np.ndarray:
    """The column as floats, NaN where it is missing."""
    return np.ma.filled(np.ma.asarray(column, float), np.nan)


def slice_sql(declared: PolicySlice) -> str:
    """SQL expression for the slice of a row, as `data_slices` names it."""
    text = feature_text(declared.feature)
    if not declared.edges:
        return f"coalesce({text}, {literal(declared.missing)})"
    number = f"try_cast({text} AS DOUBLE)"
    above = " + ".join(f"({number} >= {edge!r})::INTEGER" for edge in declared.edges)
    return f"coalesce({literals(bin_labels(declared.edges))}[1 + {above}], {literal(declared.missing)})"


def _arms(running: RolloutState) -> dict[str, str]:
    return {
        "canary": _of_version(running.version, running.digest),
        "champion": _of_version(running.champion, running.champion_digest),
    }


def _of_version(number: str, digest: str) -> str:
    """SQL for the events of a version: by its digest, where the state has it."""
    column, value = ("bundle_sha256", digest) if digest else ("model_version", number)
    return f'"slipway.{column}" = {literal(value)}'


_ARMS = """(("slipway.role" = 'canary' AND {canary}) OR ("slipway.role" = 'champion' AND {champion}))"""
_EVENTS = f"""
WITH arms AS (
    SELECT "slipway.role" = 'canary' AS canary, "slipway.row_id" AS row, "event.outcome" = 'success' AS ok,
        epoch_ms("@timestamp") AS moment, coalesce("slipway.cached", false) AS cached,
        coalesce("slipway.model_ms", 0) AS ms, coalesce("slipway.score", "slipway.value") AS answer,
        coalesce("slipway.caller", '') AS caller
    FROM events WHERE "slipway.row_id" LIKE '%-0' AND {_ARMS}
), fell AS (SELECT row FROM arms WHERE canary AND NOT ok)
SELECT * EXCLUDE (row), CASE WHEN canary AND NOT ok THEN row END AS fallen
FROM arms WHERE canary OR row NOT IN (FROM fell) ORDER BY answer"""  # sorted once, and not for each caller
_LABELLED = f"""
SELECT "slipway.role" = 'canary' AS canary, epoch_ms(known_at) AS moment,
    coalesce("slipway.label" <> label_true, false) AS wrong, coalesce(label_true = {{positive}}, false) AS positive,
    abs("slipway.value" - value_true) AS error, coalesce("slipway.caller", '') AS caller,
    coalesce(nullif(label_caller, ''), "slipway.caller", '') AS labeler {{slices}}
FROM labelled WHERE {_ARMS} AND NOT list_contains({{fallen}}, "slipway.row_id")"""
