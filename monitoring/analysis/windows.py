"""Samples as typed columns: the window from the prediction log, the reference from a bundle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis.drift import NUMERIC, Column
from slipway.contracts.columns import PREDICTION, SIDE, of_image, prediction_columns, reference_names
from slipway.contracts.events.prediction_event import logged_features
from slipway.contracts.schema.equivalence import is_comparable
from slipway.errors import BundleError

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.contracts.schema import Feature, Schema
    from slipway.prediction_log import Log

SAMPLE_ROWS = 10_000
Schemas = Callable[[Collection[str]], Mapping[str, "Schema"]]
"""Gives the schemas of bundles by digest, of those that are known."""


@dataclass(frozen=True)
class Period:
    """The predictions from `since` on: their number, and the version that made the last one as champion."""

    since: datetime
    until: datetime
    rows: int
    version: str
    digest: str


@dataclass(frozen=True)
class Window:
    """A bounded sample of a period: `rows` of features, of which the watched version predicted `own`.

    The prediction columns have those `own` rows only: another version's predictions say nothing about this one's. A
    feature's column lacks the rows of versions that do not have the feature, or define it otherwise. A version is its
    bundle's digest: its number comes again when a model is deleted and trained anew.
    """

    table: dict[str, np.ndarray]
    rows: int
    own: int


def columns(schema: Schema) -> list[Column]:
    """Columns that are compared: each logged feature, an image by its statistics, and the predictions.

    The token of a private number is no number, and another one for each value: there is nothing to compare.
    """
    found: list[Column] = []
    for feature in schema.features:
        if feature.kind == "image":
            found += [Column(name, "number") for name in _names(feature)]
        elif feature.private != "drop" and not (feature.private == "token" and feature.kind in NUMERIC):
            found.append(Column(feature.name, feature.kind, unit=feature.unit))
    if schema.task == "regression":
        return [*found, Column(PREDICTION + "value", "number", "prediction", schema.unit)]
    return [*found, *(Column(PREDICTION + name, kind, "prediction") for name, kind in _CLASSIFIED)]


def last_period(
    log: Log, usecase: str, since: datetime | None, until: datetime, most_rows: int | None = None
) -> Period | None:
    """The period from `since` until `until`, of at most the last `most_rows` predictions and those of the same time.

    None without predictions.
    """
    answers = log.predictions(usecase, since, until)
    found = _summary(answers)
    if most_rows and found[0] > most_rows:
        newest = f'SELECT "@timestamp" AS moment FROM answers ORDER BY moment DESC LIMIT {int(most_rows)}'
        found = _summary(answers, f'WHERE "@timestamp" >= (SELECT min(moment) FROM ({newest}))')
    rows, first, version, digest = found
    return Period(first, until, rows, str(version), str(digest)) if rows else None


def read(log: Log, schema: Schema, period: Period, schemas: Schemas) -> Window:
    """Read the period's sample: at most 10,000 predictions, with the smallest digests of their `row_id`.

    `schemas` tells how the other versions of the period define the features.
    """
    answers = log.sample(schema.usecase, period.since, period.until, SAMPLE_ROWS)
    events = answers.select(", ".join(f'"slipway.{name}"' for name in _READ)).fetchall()
    features: dict[str, list[dict[str, Any]]] = defaultdict(list)
    images = [feature.name for feature in schema.features if feature.kind == "image"]
    for text, digest, *_ in events:
        features[str(digest)].append(_flat(logged_features(text), images))
    own = [dict(zip(_READ, event, strict=True)) for event in events if str(event[1]) == period.digest]
    versions = {**schemas(features.keys() - {period.digest}), period.digest: schema}
    table = {
        column.name: _feature_values(features, column, versions, schema)
        if column.of == "feature"
        else typed((row.get(column.name.removeprefix(PREDICTION)) for row in own), column)
        for column in columns(schema)
    }
    return Window(table, len(events), len(own))


def load_reference(folder: Path, schema: Schema) -> pd.DataFrame:
    """Read the bundle's `monitor/reference.parquet`, with the names of this release.

    Raises:
        BundleError: it is no Parquet file, or lacks a column.
    """
    path = folder / "monitor" / "reference.parquet"
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is no Parquet file: {error}") from None
    frame = frame.rename(columns=reference_names(frame.columns, schema.task))
    wanted = [*(column.name for column in columns(schema)), *_predictions(schema)]
    if missing := sorted(set(wanted) - set(frame)):
        raise BundleError(
            f"the bundle's reference lacks the columns {missing}: train the model again with this release."
        )
    return frame


def reference_columns(frame: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """The reference's features and predictions."""
    return {
        column.name: typed(
            frame[column.name] if column.of == "prediction" else _without_empty_sides(frame, column.name), column
        )
        for column in columns(schema)
    }


def reference_predictions(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The reference's predictions and true labels, under their names in the prediction log."""
    return frame[_predictions(schema)].rename(columns=lambda name: name.removeprefix(PREDICTION))


def typed(values: Iterable[Any], column: Column) -> np.ndarray:
    """Convert to float64 with NaN for missing if the kind is numeric, else to texts (object) with None for missing.

    What is no number is missing among numbers: an older version may have had another kind of feature.
    """
    if column.kind in NUMERIC:
        numbers = np.array([_number(value) for value in values], dtype=float)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    texts = [_text(value, column.kind) for value in values]
    return np.array(texts, dtype=object) if texts else np.empty(0, dtype=object)


def _feature_values(
    features: Mapping[str, Sequence[Mapping[str, Any]]], column: Column, versions: Mapping[str, Schema], watched: Schema
) -> np.ndarray:
    """The feature's values, by digest, of every version that defines it as the watched one does.

    The log does not tell how a version defines a feature, nor one that it lacks from one that is missing in all its
    rows: a version of which no schema is left counts if it has any value of the column's kind.
    """
    by_version = {
        digest: typed((_of_kind(row.get(column.name), column.kind) for row in rows), column)
        for digest, rows in features.items()
    }
    kept = [
        values
        for digest, values in by_version.items()
        if (_defines_alike(versions[digest], watched, column) if digest in versions else not pd.isna(values).all())
    ]
    return np.concatenate(kept) if kept else typed((), column)


def _defines_alike(version: Schema, watched: Schema, column: Column) -> bool:
    """Whether a version's values of a column can be compared with those of the watched version."""
    now = next(feature for feature in watched.features if column.name in _names(feature))
    before = version.by_name.get(now.name)
    return before is not None and is_comparable(before, now)


def _names(feature: Feature) -> Collection[str]:
    """The columns of a feature: several for an image."""
    return of_image(feature.name).values() if feature.kind == "image" else (feature.name,)


def _without_empty_sides(frame: pd.DataFrame, name: str) -> pd.Series:
    """The feature in the sides of the split that have any value of it: a holdout may be older than the feature."""
    if SIDE not in frame:
        return frame[name]
    known = frame[name].notna().groupby(frame[SIDE]).transform("any")
    return frame[name][known] if known.any() else frame[name]


def _of_kind(value: Any, kind: str) -> Any:
    """The logged value; None where another version logged one of another kind, which may read like one of this kind."""
    allowed = _LOGGED.get(kind, (int, float))
    return value if isinstance(value, allowed) and (kind == "boolean" or not isinstance(value, bool)) else None


def _number(value: Any) -> float:
    try:
        return np.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _text(value: Any, kind: str) -> str | None:
    if value is None or value != value:
        return None
    return str(bool(value)).lower() if kind == "boolean" and not isinstance(value, str) else str(value)


def _flat(features: Mapping[str, Any], images: Iterable[str]) -> dict[str, Any]:
    """An image's statistics as columns of their own: `{"photo": {"contrast": 1}}` → `{"photo_contrast": 1}`."""
    row = dict(features)
    for image in images:
        logged = features.get(image)
        statistics = logged if isinstance(logged, dict) else {}
        row |= {column: statistics.get(statistic) for statistic, column in of_image(image).items()}
    return row


def _predictions(schema: Schema) -> list[str]:
    return [f"{PREDICTION}{name}" for name in prediction_columns(schema.task)]


def _summary(answers: DuckDBPyRelation, which: str = "") -> tuple[Any, ...]:
    """Number of the predictions, time of the first one, and version and digest that made the last one."""
    last = f"{_last('slipway.model_version')}, {_last('slipway.bundle_sha256')}"
    return answers.query("answers", f'SELECT count(*), min("@timestamp"), {last} FROM answers {which}').fetchall()[0]


def _last(name: str) -> str:
    """SQL for the value in the champion's last event, else in the last event of any role."""
    return f"""coalesce(arg_max("{name}", "@timestamp") FILTER ("slipway.role" = 'champion'),
        arg_max("{name}", "@timestamp"))"""


_LOGGED: Mapping[str, type] = {"category": str, "boolean": bool}
_CLASSIFIED = (("label", "category"), ("score", "number"))
_READ = ("features", "bundle_sha256", "label", "score", "value")
