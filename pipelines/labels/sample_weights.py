"""Production rows beside the source's, on the sides of training and validation, and how much each row counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.row_identity import identity_column, rows_in
from slipway.contracts.schema import Schema

BEFORE_TO_SINCE = 0.05  # docs/explanation/training-data.md has the figures
LEAST_SINCE = 100
LEAST_OF_A_CLASS = 10


def with_sample_weights(
    train: pd.DataFrame, validation: pd.DataFrame, production: Path, schema: Schema
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Both sides with the rows of the step `production` on theirs, and what is to be said of it.

    No row of the newest labelled window is among them, not from the source either. Where the world has changed, a
    column `weight` says how much a row counts: 1 since the change, and before it so little that all those rows count
    together at most a twentieth as much; as long as the rows since are enough to learn from.
    """
    rows, window = (pd.read_parquet(production / f"{name}.parquet") for name in ("production", "window"))
    sides = {name: part[~rows_in(part, window)] for name, part in {"train": train, "validation": validation}.items()}
    # Equal rows stay together: by hash they do so by themselves, by time they need not.
    known = {key: name for name, part in sides.items() for key in part[identity_column(part)]}
    newest = rows.groupby(identity_column(rows))["side"].transform("last")
    side = rows[identity_column(rows)].map(known).fillna(newest)
    weight = _weight_before(sides["train"], rows[side == "train"], schema)
    whole = {name: _one_under_another(part, rows[side == name], weight) for name, part in sides.items()}
    told = {name: int((side == name).sum()) for name in sides} | {"weight_before_change": weight}
    return whole["train"], whole["validation"], told


def _weight_before(source: pd.DataFrame, rows: pd.DataFrame, schema: Schema) -> float | None:
    """None where every row counts the same."""
    since = rows[rows["recent"]]
    counts = since[schema.target].value_counts()
    seen = all(counts.get(name, 0) >= LEAST_OF_A_CLASS for name in schema.classes)
    if len(since) < LEAST_SINCE or not seen:
        return None
    return min(1.0, BEFORE_TO_SINCE * len(since) / (len(source) + len(rows) - len(since)))


def _one_under_another(source: pd.DataFrame, rows: pd.DataFrame, weight: float | None) -> pd.DataFrame:
    if weight is not None:
        source = source.assign(weight=weight)
        rows = rows.assign(weight=rows["recent"].map({True: 1.0, False: weight}))
    return pd.concat([source, rows.reindex(columns=source.columns)], ignore_index=True)
