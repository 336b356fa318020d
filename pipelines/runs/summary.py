"""Provenance of a run for its bundle and registration, and the summary of its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from pipelines.artifacts import (
    Champion,
    DataSource,
    GatedReport,
    LabelReport,
    Provenance,
    Registration,
    SplitReport,
    TrainingReport,
)
from pipelines.packaging.score_words import explain_score
from pipelines.runs.run import Run
from slipway.config import UseCase


@dataclass(frozen=True)
class RunSummary:
    """Result of a run. `version` is None if it is not registered; `already` tells whether it was finished before.

    `reasons` are the gates that failed.

    `meaning` says in words what the scores mean, a line each; `declared` is whether the use case declares a bound.
    """

    usecase: str
    version: str | None
    gate: str
    reasons: list[str]
    declared: bool
    scores: dict[str, Any]
    meaning: list[str]
    device: str
    synthetic: bool
    already: bool
    run_key: str
    folder: str


def provenance(usecase: UseCase, run: Run) -> Provenance:
    """Return where the model comes from; equal for every call that resumes the run."""
    record, source, split = run.record, DataSource.read(run.paths.ingest), SplitReport.read(run.paths.split)
    champion = record.baseline.version
    return Provenance(
        usecase=usecase.name,
        run_key=record.key,
        attempt=record.attempt,
        created=record.created,
        cutoff=record.cutoff,
        seed=usecase.seed,
        overrides=record.overrides,
        source=source,
        synthetic=source.synthetic,
        data_sha256=source.snapshot_sha256,
        holdout_sha256=split.holdout_sha256,
        champion=Champion(champion, record.baseline.digest) if champion else None,
        production=_labels(run, split),
        code_sha256=record.base["code"],
        lock_sha256=record.base["lock"],
        git_commit=record.git["git_commit"],
        git_dirty=record.git["git_dirty"],
    )


def summarize(usecase: UseCase, run: Run) -> RunSummary:
    """Return the result of a run whose steps are done."""
    report = GatedReport.read(run.paths.gate)
    return RunSummary(
        usecase=usecase.name,
        version=Registration.read(run.paths.register).version if run.registers else None,
        gate="passed" if report.passed else "refused",
        reasons=[f"{gate.name}: {gate.sentence}" for gate in report.gates if gate.failed],
        declared=bool(usecase.gates.absolute),
        scores=msgspec.to_builtins(report.scores),
        meaning=explain_score(usecase, report),
        device=TrainingReport.read(run.paths.train).device,
        synthetic=DataSource.read(run.paths.ingest).synthetic,
        already=run.finished_before,
        run_key=run.record.key,
        folder=str(run.paths.root),
    )


def _labels(run: Run, split: SplitReport) -> LabelReport | None:
    """Return the report of the labelled predictions with what split added of them; None if there is none."""
    if not (run.paths.production / LabelReport.FILE).exists():
        return None
    return msgspec.structs.replace(LabelReport.read(run.paths.production), joined=split.production)
