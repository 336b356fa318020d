"""Samples as typed columns: the window from the prediction log, the reference from a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monitoring.analysis.drift import NUMERIC, Column
from slipway.contracts.columns import PREDICTION, of_image, prediction_columns, reference_names
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

    The prediction columns have those `own` rows only: another version's predictions say nothing about this one's.
    """

    table: dict[str, np.ndarray]
    rows: int
    own: int


def columns(schema: Schema) -> list[Column]:
    """Columns that are compared: each logged feature, an image by its statistics, and the predictions."""
    found: list[Column] = []
    for feature in schema.features:
        if feature.kind == "image":
            found += [Column(name, "number") for name in of_image(feature.name).values()]
        elif feature.private != "drop":
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
    features = [_flat(logged_features(event[0])) for event in events]
    own = [dict(zip(_READ, event, strict=True)) for event in events if str(event[1]) == period.version]
    table = {}
    for column in columns(schema):
        rows, name = (features, column.name) if column.of == "feature" else (own, column.name.removeprefix(PREDICTION))
        table[column.name] = typed((row.get(name) for row in rows), column)
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
    return {column.name: typed(frame[column.name], column) for column in columns(schema)}


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


def _number(value: Any) -> float:
    try:
        return np.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _text(value: Any, kind: str) -> str | None:
    if value is None or value != value:
        return None
    return str(bool(value)).lower() if kind == "boolean" and not isinstance(value, str) else str(value)


def _flat(features: Mapping[str, Any]) -> dict[str, Any]:
    """An image's statistics as columns of their own: `{"photo": {"contrast": 1}}` → `{"photo_contrast": 1}`."""
    row: dict[str, Any] = {}
    for name, value in features.items():
        row |= {f"{name}_{part}": v for part, v in value.items()} if isinstance(value, dict) else {name: value}
    return row


def _predictions(schema: Schema) -> list[str]:
    return [f"{PREDICTION}{name}" for name in prediction_columns(schema.task)]


def _last(name: str) -> str:
    """SQL for the value in the champion's last event, else in the last event of any role."""
    return f"""coalesce(arg_max("{name}", "@timestamp") FILTER ("slipway.role" = 'champion'),
        arg_max("{name}", "@timestamp"))"""


_CLASSIFIED = (("label", "category"), ("score", "number"))
_READ = ("features", "model_version", "label", "score", "value")
