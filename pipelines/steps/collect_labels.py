"""Collect labelled predictions: rows to train on in addition to the source's, and the newest ones to evaluate with.

Rows to train on are not on the holdout's side or in the frozen holdout, and are older than the newest labelled window.
Optional filters (`retraining.label_filters`) remove more of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from pipelines.artifacts import ChangePoint, CleaningReport, Disagreement, LabelCounts, LabelReport
from pipelines.data.dataset import read_holdout
from pipelines.data.row_identity import identity_column, in_holdout, with_row_keys
from pipelines.labels.change_point import detect_change
from pipelines.labels.filters import enabled_filters
from pipelines.labels.labelled_predictions import LOG_COLUMNS, left_out_files, read_labels, to_rows
from pipelines.steps.clean import apply_cleaning
from slipway import audit
from slipway.config import UseCase, schema_builder
from slipway.console import say
from slipway.contracts import columns
from slipway.contracts import schema as schemas
from slipway.contracts.schema import Schema
from slipway.settings import settings
from slipway.system.files import file_sha256

MIN_WINDOW_ROWS = 100
_NOT_TRAINED_ON = [columns.CALLER, columns.VERSION, columns.BUNDLE_SHA256]


@dataclass
class CollectedLabels:
    """Usable rows in the order of their predictions, and the number of rows left out, by reason."""

    rows: pd.DataFrame
    labelled: int
    left_out: dict[str, int] = field(default_factory=dict)
    disagreeing: list[Disagreement] = field(default_factory=list)

    def leave_out(self, which: np.ndarray | pd.Series, reason: str) -> None:
        """Remove these rows and count them."""
        self.left_out[reason] = int(np.sum(which))
        self.rows = self.rows[~np.asarray(which, bool)].reset_index(drop=True)


def collect_labels(usecase: UseCase, cleaned: Path, baseline: Path, cutoff: str | None, out: Path) -> None:
    """Write `production.parquet` (to train on), `window.parquet` (to evaluate with) and `production.json` into `out`.

    `baseline` holds the champion's bundle and the frozen holdout; predictions and labels after `cutoff` are ignored.
    The tables are written only if there are `retraining.min_labelled_rows` usable rows, and nothing at all without a
    registry, a frozen holdout or a label.
    """
    frozen = baseline / "holdout.parquet"
    if cutoff is None or not frozen.exists():
        return
    collected = _collect(usecase, cutoff)
    if collected is None:
        return
    report = _write_tables(usecase, collected, cutoff, cleaned, baseline, out)
    if broken := left_out_files(usecase, cutoff):
        say(f"production: {broken}")
        report = msgspec.structs.replace(report, log=broken)
    report.write(out)
    for one in collected.disagreeing:
        say(f"production: {one.sentence}")
        evidence = msgspec.to_builtins(one) | {"cutoff": cutoff}
        audit.append(usecase.name, "training.caller_left_out", who="slipway train", why=one.sentence, evidence=evidence)


def _collect(usecase: UseCase, cutoff: str) -> CollectedLabels | None:
    """Read all usable labelled rows, each with the label that its callers' votes give it; None without any."""
    labels = read_labels(usecase, cutoff, each_caller=True)
    if labels.empty:
        return None
    disagreeing = _disagreeing_callers(usecase, labels)
    rejected = [one.caller for one in disagreeing]
    unambiguous = not rejected and labels["row_id"].is_unique
    decided = labels if unambiguous else read_labels(usecase, cutoff, without=rejected)
    voted = labels[~labels["caller"].isin(rejected)]["row_id"]
    decided = decided[decided["row_id"].isin(voted)].reset_index(drop=True)  # many votes: fewer rows than were read
    typed = to_rows(usecase, decided)
    rows = typed.frame.drop(columns=[*LOG_COLUMNS.values()])
    rows = rows if rows.empty else apply_cleaning(usecase, rows)
    schema = schema_builder.from_usecase(usecase)
    frame = with_row_keys(rows, schema, settings().mask_secret()).join(typed.frame[[*LOG_COLUMNS.values()]])
    labelled = labels["row_id"].nunique()
    left_out = {
        "disagreeing caller": labelled - voted.nunique(),
        "contradictory": voted.nunique() - len(decided),
        **typed.left_out,
        "cleaned away": len(typed.frame) - len(rows),
    }
    return CollectedLabels(frame.reset_index(drop=True), labelled, left_out, disagreeing)


def _disagreeing_callers(usecase: UseCase, labels: pd.DataFrame) -> list[Disagreement]:
    filters = [one.reject_callers for one in enabled_filters(usecase) if one.reject_callers]
    return [found for reject in filters for found in reject(labels)]


def _write_tables(
    usecase: UseCase, collected: CollectedLabels, cutoff: str, cleaned: Path, baseline: Path, out: Path
) -> LabelReport:
    """Write both tables if there are enough rows, and return the report."""
    needed, change, tables = usecase.retraining.min_labelled_rows, None, None
    if len(collected.rows) < needed:
        collected.left_out["too few"] = len(collected.rows)
        say(f"production: {len(collected.rows)} labelled rows, {needed} are needed: none used")
    else:
        frozen = read_holdout(baseline / "holdout.parquet")
        source = CleaningReport.read(cleaned).source.snapshot_sha256
        change = detect_change(baseline / "bundle", frozen, collected.rows, source)
        tables = _divide(usecase, collected, change, frozen)
    report = LabelReport(
        cutoff=cutoff,
        environment=settings().environment,
        labelled=collected.labelled,
        left_out={reason: rows for reason, rows in collected.left_out.items() if rows},
        callers_left_out=collected.disagreeing,
    )
    return report if tables is None else _with_tables(report, *tables, change, out)


def _divide(
    usecase: UseCase, collected: CollectedLabels, change: ChangePoint | None, frozen: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the rows into those to train on and the window, and leave out what must not be trained on."""
    schema = schema_builder.from_usecase(usecase)
    collected.rows[columns.SINCE_CHANGE] = collected.rows[columns.AT] >= pd.Timestamp(change.at) if change else False
    window = collected.rows[len(collected.rows) - _window_rows(usecase, collected.rows, change is not None) :]
    identity = identity_column(collected.rows)
    collected.leave_out(collected.rows.index >= window.index[0], "window")
    collected.leave_out(collected.rows[identity].isin(set(window[identity])), "equal to the window")
    collected.rows[columns.SIDE] = _sides(collected.rows, schema)
    held_out = (collected.rows[columns.SIDE] == "holdout") | in_holdout(collected.rows, frozen, schema)
    collected.leave_out(held_out, "holdout side")
    for one in enabled_filters(usecase):
        collected.leave_out(one.reject_rows(collected.rows, frozen, schema, usecase), one.reason)
    return collected.rows, window


def _with_tables(
    report: LabelReport, rows: pd.DataFrame, window: pd.DataFrame, change: ChangePoint | None, out: Path
) -> LabelReport:
    """Write both tables and describe them in the report."""
    digests = {}
    for name, frame in {"production": rows, "window": window}.items():
        path = out / f"{name}.parquet"
        frame.drop(columns=_NOT_TRAINED_ON).to_parquet(path, index=False, compression="zstd")
        digests[name] = file_sha256(path)
    say(f"production: {len(rows)} labelled rows to train on, the newest {len(window)} to evaluate with")
    used = pd.concat([rows, window])
    versions = used[columns.VERSION].value_counts().sort_index()
    return msgspec.structs.replace(
        report,
        rows=LabelCounts(len(rows), len(window)),
        since=used[columns.AT].min().isoformat(),
        until=used[columns.AT].max().isoformat(),
        versions={str(version): int(count) for version, count in versions.items()},
        change=change,
        sha256=digests,
    )


def _window_rows(usecase: UseCase, rows: pd.DataFrame, changed: bool) -> int:
    """Return the window's size: as configured, at most half of all rows, and of those since a change point.

    After a change point the window has at least 100 rows, even if fewer are half of those since.
    """
    wanted, half = usecase.retraining.window_rows or usecase.monitoring.window_rows, len(rows) // 2
    recent = int(rows[columns.SINCE_CHANGE].sum()) // 2 if changed else half
    return min(wanted, half, max(recent, MIN_WINDOW_ROWS))


def _sides(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the side of each row by its bucket; in a split by time the newer rows validate.

    In a split by time no row is in the holdout, which is older than all of them.
    """
    fractions = schema.split.fractions
    if schema.split.time:
        trained = fractions["train"] / (fractions["train"] + fractions["validation"])
        return np.where(np.arange(len(rows)) < trained * len(rows), "train", "validation").astype(object)
    return np.array([schemas.side(number, fractions) for number in rows[columns.SPLIT_BUCKET]], dtype=object)
