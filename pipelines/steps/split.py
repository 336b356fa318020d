"""Split cleaned rows into training, validation and holdout: by the hash of the key or group, or by time.

The holdout of the first training is frozen: later trainings take it over, and rows that fall on its side since then are
a reserve that is not trained on.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from pipelines.artifacts import AddedLabels, CleaningReport, SplitReport
from pipelines.data import schema_completion
from pipelines.data.dataset import read_holdout
from pipelines.data.row_identity import identity_column, in_holdout, rows_in, with_row_keys
from pipelines.labels.sample_weights import with_sample_weights
from slipway.config import UseCase, schema_builder
from slipway.contracts import columns
from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.settings import settings
from slipway.system.files import file_sha256

SIDES = ("train", "validation", "holdout")


@dataclass(frozen=True)
class Sides:
    """Rows of each side of the split."""

    train: pd.DataFrame
    validation: pd.DataFrame
    holdout: pd.DataFrame
    reserve: int  # rows on the holdout's side that are not in the frozen holdout


def split(
    usecase: UseCase, cleaned: Path, out: Path, frozen: Path | None = None, production: Path | None = None
) -> None:
    """Write the three sides, the completed `schema.json` and `split.json` into `out`.

    `frozen` is the holdout of the first training, which is copied. `production` is the directory of collect_labels,
    whose rows are added to training and validation.

    Raises:
        DataError: a side is empty, training lacks a class, or a row is on two sides.
    """
    source = CleaningReport.read(cleaned).source
    draft = msgspec.structs.replace(schema_builder.from_usecase(usecase), synthetic=source.synthetic)
    frame = with_row_keys(pd.read_parquet(cleaned / "cleaned.parquet"), draft, settings().mask_secret())
    sides = divide(frame, draft, read_holdout(frozen) if frozen else None)
    added: AddedLabels | None = None
    if production and (production / "production.parquet").exists():
        train, validation, added = with_sample_weights(sides.train, sides.validation, production, draft)
        sides = replace(sides, train=train, validation=validation)
    _require_learnable(sides, usecase)
    for name in SIDES:
        getattr(sides, name).to_parquet(out / f"{name}.parquet", index=False, compression="zstd")
    if frozen:
        shutil.copyfile(frozen, out / "holdout.parquet")
    schema_completion.complete(draft, sides.train).save(out / "schema.json")
    SplitReport(
        counts={name: len(getattr(sides, name)) for name in SIDES} | {"reserve": sides.reserve},
        frozen=frozen is not None,
        production=added,
        holdout_sha256=file_sha256(out / "holdout.parquet"),
        leaks=_require_no_leak(sides, draft, frozen is not None),
    ).write(out)


def divide(frame: pd.DataFrame, schema: Schema, frozen: pd.DataFrame | None) -> Sides:
    """Divide a frame with row keys; with a frozen holdout, none of its rows or groups is on the other sides."""
    side = _by_time(frame, schema) if columns.SPLIT_TIME in frame else _by_hash(frame, schema)
    parts = {name: frame[side == name].reset_index(drop=True) for name in SIDES}
    if frozen is None:
        return Sides(**parts, reserve=0)
    others = {name: part[~in_holdout(part, frozen, schema)].reset_index(drop=True) for name, part in parts.items()}
    return Sides(others["train"], others["validation"], frozen, reserve=len(others["holdout"]))


def _by_hash(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    return np.array(
        [schemas.side(number, schema.split.fractions) for number in frame[columns.SPLIT_BUCKET]], dtype=object
    )


def _by_time(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Put the oldest rows into training, the newest into the holdout; equal rows and groups follow their newest row."""
    time = frame[columns.SPLIT_TIME].groupby(frame[identity_column(frame)]).transform("max")
    fractions = schema.split.fractions
    position = (time.rank(method="max") - 1) / max(len(time) - 1, 1)
    held_out, validated = 1 - fractions["holdout"], 1 - fractions["holdout"] - fractions["validation"]
    return np.select([position > held_out, position > validated], ["holdout", "validation"], "train").astype(object)


def _require_learnable(sides: Sides, usecase: UseCase) -> None:
    counts = {name: len(getattr(sides, name)) for name in SIDES}
    hint = "Give more rows, or set other split.fractions or another split.salt."
    if not all(counts.values()):
        raise DataError(f"the split left a side empty: {counts}. {hint}")
    if usecase.task == "regression":
        return
    for name in ("train", "validation"):
        absent = sorted(set(usecase.target.classes) - set(getattr(sides, name)[usecase.target.name]))
        if absent:
            raise DataError(f"the {name} side ({counts[name]} rows) has no row of {absent}. {hint}")


def _require_no_leak(sides: Sides, schema: Schema, frozen: bool) -> dict[str, int]:
    """Count the rows that are on two sides, for each pair of sides.

    Raises:
        DataError: there are any.
    """
    train, validation, holdout = sides.train, sides.validation, sides.holdout
    leaks = {
        "train, validation": rows_in(train, validation),
        "train, holdout": in_holdout(train, holdout, schema) if frozen else rows_in(train, holdout),
        "validation, holdout": in_holdout(validation, holdout, schema) if frozen else rows_in(validation, holdout),
    }
    counts = {pair: int(rows.sum()) for pair, rows in leaks.items()}
    if any(counts.values()):
        raise DataError(
            f"rows are on two sides of the split: {json.dumps(counts)}. This is a defect; please report it."
        )
    return counts
