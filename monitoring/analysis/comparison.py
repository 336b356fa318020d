"""One comparison: the last answers beside the reference of the version that gave them, tested and scored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitoring.analysis import quality, windows
from monitoring.analysis.drift import DriftResult, Table, Thresholds, compare
from monitoring.analysis.windows import Period
from slipway.contracts.schema import Schema
from slipway.prediction_log import Log


@dataclass(frozen=True)
class Comparison:
    """What was found, and both tables that it was found in; `findings` is empty where there is too little data."""

    schema: Schema
    significance: float
    reference: Table
    window: Table
    reference_rows: int
    sampled: int
    findings: list[DriftResult]
    quality: dict[str, Any]
    notes: list[str]


def compare_period(log: Log, period: Period, bundle: Path, least: int, labels_since: datetime) -> Comparison:
    """Test the period's sample against the bundle's reference, and score what has labels since `labels_since`.

    Fewer than `least` rows are not tested; nor are the predictions where fewer than that are the watched version's.
    """
    schema = Schema.load(bundle / "serve" / "schema.json")
    thresholds = Thresholds.load(bundle / "monitor" / "thresholds.json")
    frame = windows.load_reference(bundle)
    reference = windows.reference_columns(frame, schema)
    sample = windows.read(log, schema, period)
    columns, notes = windows.columns(schema), []
    if sample.own < least <= period.rows:
        columns = [column for column in columns if column.of == "feature"]
        notes.append(f"Version {period.version} gave only {sample.own} of the answers: those were not compared.")
    return Comparison(
        schema,
        thresholds.significance,
        reference,
        sample.table,
        len(frame),
        sample.rows,
        compare(reference, sample.table, columns, thresholds) if period.rows >= least else [],
        quality.measure(log, schema, period.version, labels_since, period.until, frame),
        notes,
    )
