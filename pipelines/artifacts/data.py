"""Records of the data steps: ingest, clean, validate, collect_labels and split."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from pipelines.artifacts.json_files import Artifact


class DataSource(Artifact, frozen=True, kw_only=True):
    """`source.json` of ingest: where the rows come from. `origin` is a path, a URL or a generator."""

    FILE: ClassVar[str] = "source.json"

    origin: str
    synthetic: bool
    rows: int
    snapshot_sha256: str
    sha256: str | None = None


class CleaningReport(Artifact, frozen=True, kw_only=True):
    """`report.json` of clean: row counts, and per column the number of rows whose value was changed."""

    FILE: ClassVar[str] = "report.json"

    rows: int
    without_target: int
    dropped: int
    kept: int
    changed: dict[str, int]
    source: DataSource


class ExpectationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one expectation; `unexpected` counts the rows that do not meet it."""

    expectation: str
    column: str | None
    severity: str
    success: bool
    unexpected: int | None
    sentence: str


class ValidationReport(Artifact, frozen=True, kw_only=True):
    """`result.json` of validate: failed expectations by severity, and the results of all."""

    FILE: ClassVar[str] = "result.json"

    passed: bool
    rows: int
    checked: int
    critical: list[str]
    warnings: list[str]
    expectations: list[ExpectationResult]


class ChangePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Time since which version `seen_by` predicts worse: its mean loss before and after, and the test's p-value."""

    at: str
    before: float
    after: float
    p: float
    seen_by: str


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """Caller whose labels were left out: its rate of disagreement with the predictions, and that of all other callers.

    `others` is computed on similar rows; `p` is corrected after Holm.
    """

    caller: str
    rows: int
    rate: float
    others: float
    p: float
    sentence: str


class LabelCounts(msgspec.Struct, frozen=True):
    """Labelled predictions that are used: `production` to train on, `window` to evaluate with."""

    production: int
    window: int


class AddedLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled predictions that split added to each side, and the weight of rows from before a change point."""

    train: int
    validation: int
    weight_before_change: float | None


class LabelReport(Artifact, frozen=True, kw_only=True):
    """`production.json` of collect_labels: the labelled predictions that are used and those left out, by reason.

    The fields from `rows` to `sha256` exist only if enough rows were left. `joined` exists only in a bundle's facts.
    `log` says which files of the prediction log could not be read, if there are any.
    """

    FILE: ClassVar[str] = "production.json"

    cutoff: str
    environment: str
    labelled: int
    left_out: dict[str, int]
    callers_left_out: list[Disagreement]
    log: str | UnsetType = UNSET
    rows: LabelCounts | UnsetType = UNSET
    since: str | UnsetType = UNSET
    until: str | UnsetType = UNSET
    versions: dict[str, int] | UnsetType = UNSET
    change: ChangePoint | None | UnsetType = UNSET
    sha256: dict[str, str] | UnsetType = UNSET
    joined: AddedLabels | None | UnsetType = UNSET


class SplitReport(Artifact, frozen=True, kw_only=True):
    """`split.json` of split: rows per side, and rows on two sides (`leaks`), which are always 0.

    `frozen` tells whether the holdout is that of an earlier training; `production` is what labelled predictions added.
    """

    FILE: ClassVar[str] = "split.json"

    counts: dict[str, int]
    frozen: bool
    production: AddedLabels | None
    holdout_sha256: str
    leaks: dict[str, int]
