"""Add labelled predictions to training and validation, and weight rows from before a change point."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipelines.artifacts import AddedLabels
from pipelines.data.row_identity import identity_column, rows_in
from slipway.contracts import columns
from slipway.contracts.schema import Schema

BEFORE_TO_SINCE = 0.05  # docs/explanation/training-data.md has the figures
MIN_ROWS_SINCE = 100
MIN_ROWS_OF_CLASS = 10


def with_sample_weights(
    train: pd.DataFrame, validation: pd.DataFrame, production: Path, schema: Schema
) -> tuple[pd.DataFrame, pd.DataFrame, AddedLabels]:
    """Return both sides with the rows of collect_labels, whose directory is `production`, and a report.

    Rows of the newest labelled window are removed, also from the source. After a change point, the column `WEIGHT`
    gives rows since then the weight 1, and all earlier rows together at most a twentieth of the weight of those; only
    if the rows since are enough to learn from.
    """
    rows, window = (pd.read_parquet(production / f"{name}.parquet") for name in ("production", "window"))
    sides = {name: part[~rows_in(part, window)] for name, part in {"train": train, "validation": validation}.items()}
    # Equal rows stay together: by hash they do so by themselves, by time they need not.
    known = {key: name for name, part in sides.items() for key in part[identity_column(part)]}
    newest = rows.groupby(identity_column(rows))[columns.SIDE].transform("last")
    side = rows[identity_column(rows)].map(known).fillna(newest)
    weight = _weight_before(sides["train"], rows[side == "train"], schema)
    combined = {name: _concatenate(part, rows[side == name], weight) for name, part in sides.items()}
    counts = {name: int((side == name).sum()) for name in sides}
    return combined["train"], combined["validation"], AddedLabels(**counts, weight_before_change=weight)


def _weight_before(source: pd.DataFrame, rows: pd.DataFrame, schema: Schema) -> float | None:
    """Return the weight of a row from before the change point; None if all rows have the same weight."""
    since = rows[rows[columns.SINCE_CHANGE]]
    counts = since[schema.target].value_counts()
    complete = all(counts.get(name, 0) >= MIN_ROWS_OF_CLASS for name in schema.classes)
    if len(since) < MIN_ROWS_SINCE or not complete:
        return None
    return min(1.0, BEFORE_TO_SINCE * len(since) / (len(source) + len(rows) - len(since)))


def _concatenate(source: pd.DataFrame, rows: pd.DataFrame, weight: float | None) -> pd.DataFrame:
    if weight is not None:
        source = source.assign(**{columns.WEIGHT: weight})
        rows = rows.assign(**{columns.WEIGHT: rows[columns.SINCE_CHANGE].map({True: 1.0, False: weight})})
    return pd.concat([source, rows.reindex(columns=source.columns)], ignore_index=True)
