"""Comparison of the latest predictions with the reference of the version that made them: tested and scored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from monitoring.analysis import quality, windows
from monitoring.analysis.drift import Column, DriftResult, Table, Thresholds, compare, present
from monitoring.analysis.windows import Period, Window
from slipway.clients.mlflow.version_schemas import load_schemas
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.prediction_log import Log
from slipway.settings import settings


@dataclass(frozen=True)
class Comparison:
    """Results of a comparison and both tables; `results`, the tests' results, are empty with too little data."""

    schema: Schema
    significance: float
    reference: Table
    window: Table
    reference_rows: int
    sampled: int
    results: list[DriftResult]
    quality: dict[str, Any]
    notes: list[str]


def compare_period(log: Log, usecase: UseCase, period: Period, bundle: Path, labels_since: datetime) -> Comparison:
    """Test the period's sample against the bundle's reference, and score the labelled predictions since `labels_since`.

    Fewer rows than `monitoring.min_rows` are not tested; nor are the predictions if fewer are of the watched version,
    a feature if fewer are of versions that define it alike, and one that the reference has no value of.
    """
    least = usecase.monitoring.min_rows
    schema = Schema.load(bundle / "serve" / "schema.json")
    thresholds = Thresholds.load(bundle / "monitor" / "thresholds.json")
    frame = windows.load_reference(bundle, schema)
    reference = windows.reference_columns(frame, schema)
    promised = windows.reference_predictions(frame, schema)
    sample = windows.read(log, schema, period, partial(load_schemas, usecase.name, config=settings()))
    columns, notes = _comparable(windows.columns(schema), reference, sample, period, least)
    # before the tests: what its queries need is free again when SciPy is loaded
    scored = quality.measure(log, usecase, schema, period.digest, labels_since, period.until, promised)
    return Comparison(
        schema,
        thresholds.significance,
        reference,
        sample.table,
        len(frame),
        sample.rows,
        compare(reference, sample.table, columns, thresholds) if period.rows >= least else [],
        scored,
        notes,
    )


def _comparable(
    columns: list[Column], reference: Table, sample: Window, period: Period, least: int
) -> tuple[list[Column], list[str]]:
    """The columns that both sides have enough of, and a note on each of the others."""
    if period.rows < least:
        return columns, []
    notes = []
    if sample.own < least:
        columns = [column for column in columns if column.of == "feature"]
        notes.append(f"Version {period.version} made only {sample.own} of the predictions: these were not compared.")
    compared = []
    times = Counter(column.name for column in columns)
    for column in columns:
        name, rows = column.name, len(sample.table[column.name])
        if times[name] > 1:  # in a bundle of an earlier release: its reference has one of the two
            notes.append(f"{name} is a feature and a statistic of an image: rename it, and train the model again.")
        elif not len(present(reference[name])):
            notes.append(f"The reference has no value of {name}, so it was not compared: train the model again.")
        elif rows < least:
            notes.append(f"Only {rows} predictions are of versions that define {name} alike: it was not compared.")
        else:
            compared.append(column)
    return compared, list(dict.fromkeys(notes))
