"""Labelled rows of production to train on beside the source's, and the newest of them to judge by.

What is trained on has been neither on the holdout's side nor near to a row of the frozen holdout, is older than the
newest labelled window, and comes from callers whose labels go with everyone else's, of none more than its share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.artifacts import read_json, sha256, write_json
from pipelines.data.row_identity import identity_column, in_holdout, with_row_keys
from pipelines.labels import labeler_agreement, labelled_predictions
from pipelines.labels.change_point import detect_change
from pipelines.labels.labeler_agreement import Disagreement
from pipelines.labels.near_duplicates import near_duplicates
from pipelines.steps import clean
from slipway import audit
from slipway.config import UseCase, schema_builder
from slipway.console import say
from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.settings import settings

LEAST_WINDOW = 100


@dataclass
class CollectedLabels:
    """Usable rows in the order of their predictions, and what was left out, rows by reason."""

    rows: pd.DataFrame
    labelled: int
    left_out: dict[str, int] = field(default_factory=dict)
    disagreeing: list[Disagreement] = field(default_factory=list)

    def leave_out(self, which: np.ndarray | pd.Series, reason: str) -> None:
        self.left_out[reason] = int(np.sum(which))
        self.rows = self.rows[~np.asarray(which, bool)].reset_index(drop=True)


def collect_labels(usecase: UseCase, cleaned: Path, standing: Path, cutoff: str | None, out: Path) -> None:
    """Leave `production.parquet` (to train on), `window.parquet` (to judge by) and `production.json` in `out`.

    `standing` holds the champion's bundle and the frozen holdout; of the log counts what came before `cutoff`. Neither
    table is left with fewer than `retraining.min_labelled_rows` rows, and nothing at all where nobody has been answered
    and told so: with no registry, no frozen holdout or no label.
    """
    frozen = standing / "holdout.parquet"
    if cutoff is None or not frozen.exists():
        return
    found = _found(usecase, cutoff)
    if found is None:
        return
    told = {"cutoff": cutoff, "environment": settings().environment, "labelled": found.labelled}
    if len(found.rows) < usecase.retraining.min_labelled_rows:
        found.left_out["too few"] = len(found.rows)
        needed = usecase.retraining.min_labelled_rows
        say(f"production: {len(found.rows)} labelled rows, {needed} are needed: none used")
    else:
        source = read_json(cleaned / "report.json")["source"]["snapshot_sha256"]
        change = detect_change(standing / "bundle", pd.read_parquet(frozen), found.rows, source)
        told |= _divided(usecase, found, change, pd.read_parquet(frozen), out)
    told |= {
        "left_out": {reason: rows for reason, rows in found.left_out.items() if rows},
        "callers_left_out": [one.to_dict() for one in found.disagreeing],
    }
    write_json(out / "production.json", told)
    for one in found.disagreeing:
        say(f"production: {one.sentence}")
        evidence = one.to_dict() | {"cutoff": cutoff}
        audit.append(usecase.name, "training.caller_left_out", who="slipway train", why=one.sentence, evidence=evidence)


def _found(usecase: UseCase, cutoff: str) -> CollectedLabels | None:
    """Every usable labelled row, with one label each: the last of callers who are listened to.

    Where those contradict each other about a prediction, nobody knows, and it is left out: so no caller has its word
    trained on by writing over another's.
    """
    said = labelled_predictions.read_labels(usecase, cutoff, each_caller=True)
    if said.empty:
        return None
    wrong = labeler_agreement.find_disagreeing(said)
    names = [one.caller for one in wrong]
    alone = not wrong and said["row_id"].is_unique
    told = said if alone else labelled_predictions.read_labels(usecase, cutoff, without=names)
    truths = said[~said["caller"].isin(names)].groupby("row_id")["truth"].nunique()
    contradictory = told["row_id"].isin(truths[truths > 1].index)
    typed = labelled_predictions.to_rows(usecase, told[~contradictory].reset_index(drop=True))
    kept = typed.frame.drop(columns=list(labelled_predictions.LOG_COLUMNS))
    kept = kept if kept.empty else clean.apply_cleaning(usecase, kept)
    schema = schema_builder.from_usecase(usecase)
    frame = with_row_keys(kept, schema, settings().mask_secret()).join(
        typed.frame[list(labelled_predictions.LOG_COLUMNS)]
    )
    everybody = said["row_id"].nunique()
    left_out = {
        "disagreeing caller": everybody - len(told),
        "contradictory": int(contradictory.sum()),
        **typed.left_out,
        "cleaned away": len(typed.frame) - len(kept),
    }
    return CollectedLabels(frame.reset_index(drop=True), everybody, left_out, wrong)


def _divided(
    usecase: UseCase, found: CollectedLabels, change: dict[str, Any] | None, frozen: pd.DataFrame, out: Path
) -> dict[str, Any]:
    """Write both tables; what is to be said of them."""
    schema = schema_builder.from_usecase(usecase)
    found.rows["recent"] = found.rows["at"] >= pd.Timestamp(change["at"]) if change else False
    window = found.rows[len(found.rows) - _window_rows(usecase, found.rows, change is not None) :]
    found.leave_out(found.rows.index >= window.index[0], "window")
    found.leave_out(
        found.rows[identity_column(found.rows)].isin(set(window[identity_column(window)])), "equal to the window"
    )
    found.rows["side"] = _sides(found.rows, schema)
    found.leave_out((found.rows["side"] == "holdout") | in_holdout(found.rows, frozen, schema), "holdout side")
    found.leave_out(near_duplicates(found.rows, frozen, schema), "near-duplicate of the holdout")
    found.leave_out(
        ~labeler_agreement.within_share(found.rows["caller"], usecase.retraining.caller_share), "caller's share"
    )
    used = pd.concat([found.rows, window])
    versions = used["version"].value_counts().sort_index()
    told: dict[str, Any] = {
        "rows": {"production": len(found.rows), "window": len(window)},
        "since": used["at"].min().isoformat(),
        "until": used["at"].max().isoformat(),
        "versions": {str(version): int(rows) for version, rows in versions.items()},
        "change": change,
        "sha256": {},
    }
    for name, frame in {"production": found.rows, "window": window}.items():
        path = out / f"{name}.parquet"
        frame.drop(columns=["caller", "version", "bundle_sha256"]).to_parquet(path, index=False, compression="zstd")
        told["sha256"][name] = sha256(path)
    say(f"production: {len(found.rows)} labelled rows to train on, the newest {len(window)} to judge by")
    return told


def _window_rows(usecase: UseCase, rows: pd.DataFrame, changed: bool) -> int:
    """As many as are asked for, but at most half of all, and of those since a change where that leaves 100."""
    asked, half = usecase.retraining.window_rows or usecase.monitoring.window_rows, len(rows) // 2
    new = int(rows["recent"].sum()) // 2 if changed else half
    return min(asked, half, max(new, LEAST_WINDOW))


def _sides(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """By the bucket; where time divides, the newer rows validate, and none is the holdout's: it is older than all."""
    fractions = schema.split.fractions
    if schema.split.time:
        trained = fractions["train"] / (fractions["train"] + fractions["validation"])
        return np.where(np.arange(len(rows)) < trained * len(rows), "train", "validation").astype(object)
    return np.array([schemas.side(number, fractions) for number in rows["split_bucket"]], dtype=object)
