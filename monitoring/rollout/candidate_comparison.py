"""A candidate beside the champion, from the log: a shadow, which has the same rows, or a canary, which has its own.

The same rows are compared pair by pair; of a canary there are none, but where it failed and the champion answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis import quality, reference_bundle
from monitoring.analysis.slices import Part, parts
from slipway import config as usecases
from slipway.contracts.registry_names import CANARY, CHAMPION, SHADOW
from slipway.contracts.schema import Schema
from slipway.errors import UseCaseError
from slipway.prediction_log import Log
from slipway.prediction_log.jsonl import literal
from slipway.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.config import Slice

MOST_ROWS = 10_000
LEAST_LABELS = 10
HOURS = 24.0
_BINS = 21
_QUANTILES = (0.05, 0.5, 0.95)
_BEFORE = timedelta(minutes=1)  # the champion answers first: its event is older than the copy's


@dataclass(frozen=True)
class VersionStatistics:
    """One of the two: times are of its model alone, in milliseconds, over rows that no cache answered.

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
    quality: dict[str, quality.Score]


@dataclass(frozen=True)
class SliceRow:
    """`agreement` is None without pairs; `champion` and `candidate` are the means of their scores or values."""

    feature: str
    value: str
    rows: int
    agreement: float | None
    champion: float | None
    candidate: float | None


@dataclass(frozen=True)
class CandidateComparison:
    """`came` is the share of the champion's rows that a shadow answered, too, since it first did; else None.

    `difference` is of the candidate's score or value less the champion's, over the pairs: `mean`, `p5`, `p50`, `p95`,
    and `bins` of equal width with the share of pairs in each.
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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(config: Settings, name: str, now: datetime | None = None) -> CandidateComparison | None:
    """The last 10,000 rows of the candidate of the use case's window; None where there is none beside a champion.

    A shadow goes before a canary. Slices are those of the use case's gates, where its folder is here.

    Raises:
        RegistryError: the bundle, whose schema is needed, is not there yet and the registry does not answer.
        ServiceError, OSError: the log cannot be read.
    """
    until = now or datetime.now(UTC)
    hours, declared = _declared(name)
    log, since = Log(config), until - timedelta(hours=hours)
    events = log.predictions(name, since, until, answered=False)
    # The rows come the oldest first: of each role the version that answered last is left.
    last = {role: found for role, *found in events.query("events", _LAST).fetchall()}
    role = next((role for role in (SHADOW, CANARY) if role in last), None)
    if role is None or CHAMPION not in last:
        return None
    schema = Schema.load(reference_bundle.fetch(config, name, *last[CHAMPION][:2]) / "serve" / "schema.json")
    began = last[role][2] - _BEFORE
    columns = {f"part_{number}": _text(each.feature) for number, each in enumerate(declared)}
    both = _read(events, role, last, began, columns)
    labels = _labels(log, name, schema, both.moment.min().to_pydatetime(), until)
    both = both.merge(labels, how="left", on="row_id")
    champion, candidate = both[both.role == CHAMPION], both[both.role == role]
    if role == SHADOW:
        champion = champion[champion.row_id.isin(candidate.row_id)]
    pairs = _pairs(champion, candidate)
    sides = (_side(champion, last[CHAMPION][0], schema), _side(candidate, last[role][0], schema))
    return CandidateComparison(
        name,
        role,
        _iso(last[role][2]),
        _iso(until),
        *sides,
        len(pairs),
        _came(events, last) if role == SHADOW else None,
        _agreement(pairs, schema),
        _difference(pairs, schema),
        [row for each in parts(declared, schema, both) if (row := _slice(each, both, pairs, role, schema))],
    )


def _declared(name: str) -> tuple[float, Sequence[Slice]]:
    """The use case's window, in hours, and its slices."""
    try:
        found = usecases.load(name)
    except UseCaseError:
        return HOURS, ()
    return found.monitoring.window_hours, found.gates.slices


def _read(
    events: DuckDBPyRelation, role: str, last: dict[str, Any], began: datetime, columns: dict[str, str]
) -> pd.DataFrame:
    """The candidate's newest rows, and the champion's: those of the same ids, or beside a canary its newest."""
    named = {
        "role": literal(role),
        "version": literal(last[role][0]),
        "champion": literal(last[CHAMPION][0]),
        "began": literal(began.isoformat()),
        "most": MOST_ROWS,
        "parts": "".join(f", {sql} AS {column}" for column, sql in columns.items()),
        "chosen": "row_id IN (SELECT row_id FROM mine)" if role == SHADOW else "true",
    }
    return events.query("events", _ROWS.format(**named)).df()


def _labels(log: Log, name: str, schema: Schema, since: datetime, until: datetime) -> pd.DataFrame:
    found = log.labelled(name, since, until, list(schema.classes) or None)
    return found.select('"slipway.row_id" AS row_id, label_true, value_true').df()


def _came(events: DuckDBPyRelation, last: dict[str, Any]) -> float | None:
    """Of the rows that the champion answered, the share of which the shadow had a copy."""
    query = _CAME.format(champion=literal(last[CHAMPION][0]), shadow=literal(last[SHADOW][0]))
    [(answered, copied)] = events.query("events", query).fetchall()
    return min(copied / answered, 1.0) if answered else None


def _pairs(champion: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Rows that both answered: the columns of the candidate's end in `_candidate`."""
    columns = ["row_id", "label", "score", "value"]
    theirs, mine = (side[side.outcome == "success"] for side in (champion, candidate))
    return theirs.merge(mine[columns], on="row_id", suffixes=("", "_candidate"))


def _side(rows: pd.DataFrame, version: str, schema: Schema) -> VersionStatistics:
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
        quality.scores(known, schema) if len(known) >= LEAST_LABELS else {},
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


def _slice(part: Part, both: pd.DataFrame, pairs: pd.DataFrame, role: str, schema: Schema) -> SliceRow | None:
    """None where the candidate has no row of it."""
    rows = both[part.rows]
    mine, theirs = rows[rows.role == role], rows[rows.role == CHAMPION]
    if not len(mine):
        return None
    inside = pairs[pairs.row_id.isin(mine.row_id)]
    agreement = _agreement(inside, schema)
    return SliceRow(part.feature, part.value, len(mine), agreement, _mean(theirs, schema), _mean(mine, schema))


def _mean(rows: pd.DataFrame, schema: Schema) -> float | None:
    found = rows[_column(schema)].mean()
    return None if pd.isna(found) else float(found)


def _column(schema: Schema) -> str:
    return "value" if schema.task == "regression" else "score"


def _text(feature: str) -> str:
    path = '$."' + feature.replace('"', '\\"') + '"'
    return f'("slipway.features" ->> {literal(path)})'


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_LAST = """
SELECT "slipway.role", "slipway.model_version", "slipway.bundle_sha256", min("@timestamp")
FROM events WHERE "slipway.role" IN ('champion', 'shadow', 'canary') GROUP BY ALL ORDER BY max("@timestamp")"""
_ROWS = """
WITH named AS (
    SELECT "slipway.role" AS role, "slipway.model_version" AS version, "slipway.row_id" AS row_id,
        "@timestamp" AS moment, "event.outcome" AS outcome, "error.type" AS error, "slipway.label" AS label,
        "slipway.score" AS score, "slipway.value" AS value, "slipway.model_ms" AS model_ms,
        coalesce("slipway.cached", false) AS cached {parts}
    FROM events WHERE "@timestamp" >= TIMESTAMPTZ {began}
), mine AS (
    FROM named WHERE role = {role} AND version = {version} ORDER BY moment DESC, row_id LIMIT {most}
), theirs AS (
    FROM named WHERE role = 'champion' AND version = {champion} AND {chosen} ORDER BY moment DESC, row_id LIMIT {most}
)
FROM mine UNION ALL FROM theirs"""
# Ids rise with time: the rows since the first copy.
_CAME = """
WITH copies AS (FROM events WHERE "slipway.role" = 'shadow' AND "slipway.model_version" = {shadow})
SELECT count(*), (SELECT count(*) FROM copies)
FROM events WHERE "slipway.role" = 'champion' AND "slipway.model_version" = {champion} AND "slipway.answered"
    AND "slipway.row_id" >= (SELECT min("slipway.row_id") FROM copies)"""
