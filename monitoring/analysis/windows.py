"""Samples as typed columns: the window from the prediction log, the reference from a bundle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis.drift import NUMERIC, Column
from slipway.contracts.columns import PREDICTION, SIDE, of_image, prediction_columns, reference_names
from slipway.contracts.events.prediction_event import logged_features
from slipway.errors import BundleError

if TYPE_CHECKING:
    from slipway.contracts.schema import Schema
    from slipway.prediction_log import Log

SAMPLE_ROWS = 10_000


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
    feature's column lacks the rows of versions that do not have the feature. A version is its bundle's digest: its
    number comes again when a model is deleted and trained anew.
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
            found += [Column(name, "number") for name in of_image(feature.name).values()]
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
    newest = f'SELECT "@timestamp" AS moment FROM answers ORDER BY moment DESC LIMIT {int(most_rows or 0)}'
    found = answers.query(
        "answers",
        f"""SELECT count(*), min("@timestamp"), {_last("slipway.model_version")}, {_last("slipway.bundle_sha256")}
        FROM answers {f'WHERE "@timestamp" >= (SELECT min(moment) FROM ({newest}))' if most_rows else ""}""",
    ).fetchall()
    rows, first, version, digest = found[0]
    return Period(first, until, rows, str(version), str(digest)) if rows else None


def read(log: Log, schema: Schema, period: Period) -> Window:
    """Read the period's sample: at most 10,000 predictions, with the smallest digests of their `row_id`."""
    answers = log.sample(schema.usecase, period.since, period.until, SAMPLE_ROWS)
    events = answers.select(", ".join(f'"slipway.{name}"' for name in _READ)).fetchall()
    features: dict[str, list[dict[str, Any]]] = defaultdict(list)
    images = [feature.name for feature in schema.features if feature.kind == "image"]
    for text, digest, *_ in events:
        features[str(digest)].append(_flat(logged_features(text), images))
    own = [dict(zip(_READ, event, strict=True)) for event in events if str(event[1]) == period.digest]
    table = {
        column.name: _feature_values(features, column, period.digest)
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


def _feature_values(features: Mapping[str, Sequence[Mapping[str, Any]]], column: Column, watched: str) -> np.ndarray:
    """The feature's values, by digest, of the watched version and of every other that has any of its kind.

    The log does not tell a feature that a version lacks from one that is missing in all its rows.
    """
    by_version = {digest: typed((row.get(column.name) for row in rows), column) for digest, rows in features.items()}
    kept = [values for digest, values in by_version.items() if digest == watched or not pd.isna(values).all()]
    return np.concatenate(kept) if kept else typed((), column)


def _without_empty_sides(frame: pd.DataFrame, name: str) -> pd.Series:
    """The feature in the sides of the split that have any value of it: a holdout may be older than the feature."""
    if SIDE not in frame:
        return frame[name]
    known = frame[name].notna().groupby(frame[SIDE]).transform("any")
    return frame[name][known] if known.any() else frame[name]


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


def _last(name: str) -> str:
    """SQL for the value in the champion's last event, else in the last event of any role."""
    return f"""coalesce(arg_max("{name}", "@timestamp") FILTER ("slipway.role" = 'champion'),
        arg_max("{name}", "@timestamp"))"""


_CLASSIFIED = (("label", "category"), ("score", "number"))
_READ = ("features", "bundle_sha256", "label", "score", "value")
