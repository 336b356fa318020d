"""Comparison of a candidate with the champion by the log: a shadow has the same rows, a canary has its own.

The same rows are compared pair by pair; of a canary there are none, except where it failed and the champion answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis import reference_bundle
from monitoring.analysis.quality import QualityMetrics, Score, scores
from slipway import config as usecases
from slipway.contracts.registry_names import CANARY, CHAMPION, SHADOW
from slipway.contracts.schema import Schema
from slipway.errors import UseCaseError
from slipway.evaluation.slices import DataSlice, data_slices
from slipway.prediction_log import Log, describe
from slipway.prediction_log.jsonl import feature_text, literal
from slipway.settings import Settings
from slipway.timestamps import iso

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.config import Slice, UseCase

MAX_ROWS = 10_000
MAX_VALUES = 12
MIN_LABELS = 10
HOURS = 24.0
_BINS = 21
_QUANTILES = (0.05, 0.5, 0.95)
_BEFORE = timedelta(minutes=1)  # the champion answers first: its event is older than the copy's


@dataclass(frozen=True)
class VersionStatistics:
    """Statistics of one version; times are of its model alone, in milliseconds, over rows that no cache answered.

    `quality` has each metric with its interval over the `labelled` rows; it is empty below 10 of these.
    """

    version: str
    rows: int
    errors: dict[str, int]
    p50_ms: float | None
    p90_ms: float | None
    labels: dict[str, float]
    answer: float | None
    labelled: int
    quality: dict[str, Score]


@dataclass(frozen=True)
class SliceRow:
    """Comparison on a slice; `agreement` is None without pairs, the others are the means of scores or values."""

    feature: str
    value: str
    rows: int
    agreement: float | None
    champion: float | None
    candidate: float | None


@dataclass(frozen=True)
class CandidateComparison:
    """Comparison of a candidate with the champion.

    `came` is the share of the champion's rows that a shadow answered as well, since its first one; None for a canary.
    `difference` is the candidate's score or value less the champion's, over the pairs: `mean`, `p5`, `p50`, `p95`, and
    `bins` of equal width with the share of pairs in each. `left_out` says which files of the log could not be read.
    """

    usecase: str
    role: str
    since: str
    until: str
    champion: VersionStatistics
    candidate: VersionStatistics
    pairs: int
    came: float | None
    agreement: float | None
    difference: dict[str, Any] | None
    slices: list[SliceRow]
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(config: Settings, name: str, now: datetime | None = None) -> CandidateComparison | None:
    """Compare the last 10,000 rows of the candidate in the use case's window; None without a candidate and a champion.

    A shadow takes precedence over a canary. Slices are those of the use case's gates, if its folder is here.

    Raises:
        RegistryError: the bundle, whose schema is needed, is not here yet and the registry does not respond.
        ServiceError, OSError: the log cannot be read.
    """
    until = now or datetime.now(UTC)
    usecase = _usecase(name)
    hours, declared = (usecase.monitoring.window_hours, usecase.gates.slices) if usecase else (HOURS, [])
    log, since = Log(config), until - timedelta(hours=hours)
    events = log.predictions(name, since, until, answered=False)
    # The rows come the oldest first: of each role the version that answered last is left.
    last = {role: found for role, *found in events.query("events", _LAST).fetchall()}
    role = next((role for role in (SHADOW, CANARY) if role in last), None)
    if role is None or CHAMPION not in last:
        return None
    schema = Schema.load(reference_bundle.fetch(config, name, *last[CHAMPION][:2]) / "serve" / "schema.json")
    both = _read(events, role, last, [each.feature for each in declared])
    left_out = describe(log.left_out)
    labels = _labels(log, name, schema, both.moment.min().to_pydatetime(), until)
    both = both.merge(labels, how="left", on="row_id")
    versions = _Versions(name, schema, role, last[CHAMPION][0], last[role][0], both)
    watched = QualityMetrics.of(usecase) if usecase else QualityMetrics.of_task(schema.task)
    copied = _copied_share(events, last) if role == SHADOW else None
    return replace(_compared(versions, declared, watched, (last[role][2], until), copied), left_out=left_out)


@dataclass(frozen=True)
class _Versions:
    """The champion's and the candidate's rows in one frame, labels included."""

    usecase: str
    schema: Schema
    role: str
    champion: str
    candidate: str
    both: pd.DataFrame

    def sides(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows of the champion and of the candidate; a shadow's are compared with the champion's of the same ids."""
        champion, candidate = self.both[self.both.role == CHAMPION], self.both[self.both.role == self.role]
        return (champion[champion.row_id.isin(candidate.row_id)] if self.role == SHADOW else champion), candidate


def _compared(
    versions: _Versions,
    declared: Sequence[Slice],
    watched: QualityMetrics,
    window: tuple[datetime, datetime],
    copied: float | None,
) -> CandidateComparison:
    schema, (champion, candidate) = versions.schema, versions.sides()
    pairs = _pairs(champion, candidate)
    columns = {each.feature: versions.both[f"feature_{number}"] for number, each in enumerate(declared)}
    slices = data_slices(declared, schema, columns, MAX_VALUES)
    return CandidateComparison(
        versions.usecase,
        versions.role,
        iso(window[0]),
        iso(window[1]),
        _version_statistics(champion, versions.champion, schema, watched),
        _version_statistics(candidate, versions.candidate, schema, watched),
        len(pairs),
        copied,
        _agreement(pairs, schema),
        _difference(pairs, schema),
        [row for each in slices if (row := _slice_row(each, versions, pairs))],
    )


def _usecase(name: str) -> UseCase | None:
    try:
        return usecases.load(name)
    except UseCaseError:
        return None


def _read(events: DuckDBPyRelation, role: str, last: dict[str, Any], features: Sequence[str]) -> pd.DataFrame:
    """Read the candidate's newest rows, and the champion's: of the same ids for a shadow, else its newest."""
    named = {
        "role": literal(role),
        "digest": literal(last[role][1]),
        "champion": literal(last[CHAMPION][1]),
        "began": literal((last[role][2] - _BEFORE).isoformat()),
        "most": MAX_ROWS,
        "features": "".join(f", {feature_text(name)} AS feature_{number}" for number, name in enumerate(features)),
        "chosen": "row_id IN (SELECT row_id FROM mine)" if role == SHADOW else "true",
    }
    return events.query("events", _ROWS.format(**named)).df()


def _labels(log: Log, name: str, schema: Schema, since: datetime, until: datetime) -> pd.DataFrame:
    found = log.labelled(name, since, until, list(schema.classes) or None)
    return found.select('"slipway.row_id" AS row_id, label_true, value_true').df()


def _copied_share(events: DuckDBPyRelation, last: dict[str, Any]) -> float | None:
    """Share of the champion's rows of which the shadow had a copy."""
    query = _COPIED.format(champion=literal(last[CHAMPION][1]), shadow=literal(last[SHADOW][1]))
    [(answered, copied)] = events.query("events", query).fetchall()
    return min(copied / answered, 1.0) if answered else None


def _pairs(champion: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Rows that both versions answered: the columns of the candidate end in `_candidate`."""
    columns = ["row_id", "label", "score", "value"]
    theirs, mine = (side[side.outcome == "success"] for side in (champion, candidate))
    return theirs.merge(mine[columns], on="row_id", suffixes=("", "_candidate"))


def _version_statistics(rows: pd.DataFrame, version: str, schema: Schema, watched: QualityMetrics) -> VersionStatistics:
    answered = rows[rows.outcome == "success"]
    times = answered[~answered.cached.astype(bool)].model_ms
    known = answered[answered.value_true.notna() if schema.task == "regression" else answered.label_true.notna()]
    shares = answered.label.value_counts(normalize=True) if schema.task != "regression" else pd.Series(dtype=float)
    return VersionStatistics(
        version,
        len(rows),
        {str(kind): int(count) for kind, count in rows[rows.outcome != "success"].error.value_counts().items()},
        float(times.quantile(0.5)) if len(times) else None,
        float(times.quantile(0.9)) if len(times) else None,
        {str(label): float(share) for label, share in shares.items()},
        _mean(answered, schema),
        len(known),
        scores(known, schema, watched) if len(known) >= MIN_LABELS else {},
    )


def _agreement(pairs: pd.DataFrame, schema: Schema) -> float | None:
    if schema.task == "regression" or not len(pairs):
        return None
    return float((pairs.label == pairs.label_candidate).mean())


def _difference(pairs: pd.DataFrame, schema: Schema) -> dict[str, Any] | None:
    column = _column(schema)
    found = (pairs[f"{column}_candidate"] - pairs[column]).dropna().to_numpy(float)
    if not len(found):
        return None
    widest = float(np.abs(found).max()) or 1.0
    counts, edges = np.histogram(found, np.linspace(-widest, widest, _BINS + 1))
    bins = [
        {"low": float(low), "high": float(high), "share": float(count / len(found))}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    p5, p50, p95 = (float(each) for each in np.quantile(found, _QUANTILES))
    return {"mean": float(found.mean()), "p5": p5, "p50": p50, "p95": p95, "bins": bins}


def _slice_row(data_slice: DataSlice, versions: _Versions, pairs: pd.DataFrame) -> SliceRow | None:
    """Compare the versions on a slice; None where the candidate has no row of it."""
    rows, schema = versions.both[data_slice.rows], versions.schema
    champion, candidate = rows[rows.role == CHAMPION], rows[rows.role == versions.role]
    if not len(candidate):
        return None
    agreement = _agreement(pairs[pairs.row_id.isin(candidate.row_id)], schema)
    means = _mean(champion, schema), _mean(candidate, schema)
    return SliceRow(data_slice.feature, data_slice.value, len(candidate), agreement, *means)


def _mean(rows: pd.DataFrame, schema: Schema) -> float | None:
    found = rows[_column(schema)].mean()
    return None if pd.isna(found) else float(found)


def _column(schema: Schema) -> str:
    return "value" if schema.task == "regression" else "score"


_LAST = """
SELECT "slipway.role", "slipway.model_version", "slipway.bundle_sha256", min("@timestamp")
FROM events WHERE "slipway.role" IN ('champion', 'shadow', 'canary') GROUP BY ALL ORDER BY max("@timestamp")"""
_ROWS = """
WITH named AS (
    SELECT "slipway.role" AS role, "slipway.bundle_sha256" AS digest, "slipway.row_id" AS row_id,
        "@timestamp" AS moment, "event.outcome" AS outcome, "error.type" AS error, "slipway.label" AS label,
        "slipway.score" AS score, "slipway.value" AS value, "slipway.model_ms" AS model_ms,
        coalesce("slipway.cached", false) AS cached {features}
    FROM events WHERE "@timestamp" >= TIMESTAMPTZ {began}
), mine AS (
    FROM named WHERE role = {role} AND digest = {digest} ORDER BY moment DESC, row_id LIMIT {most}
), theirs AS (
    FROM named WHERE role = 'champion' AND digest = {champion} AND {chosen} ORDER BY moment DESC, row_id LIMIT {most}
)
FROM mine UNION ALL FROM theirs"""
# Ids rise with time: the rows since the first copy.
_COPIED = """
WITH copies AS (FROM events WHERE "slipway.role" = 'shadow' AND "slipway.bundle_sha256" = {shadow})
SELECT count(*), (SELECT count(*) FROM copies)
FROM events WHERE "slipway.role" = 'champion' AND "slipway.bundle_sha256" = {champion} AND "slipway.answered"
    AND "slipway.row_id" >= (SELECT min("slipway.row_id") FROM copies)"""
