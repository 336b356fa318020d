"""A run that is done up to its bundle, made up in a moment: what `register` is given."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.artifacts import (
    BaselineScore,
    DataSource,
    GatedReport,
    Provenance,
    RunPaths,
    Score,
    SplitReport,
    TrainingReport,
    write_history,
)
from slipway.system.files import file_sha256
from tests.support import bundles

HISTORY = {"loss": [0.7, 0.5], "error": [0.5, 0.4], "val_loss": [0.8, 0.6], "val_error": [0.5, 0.45]}


def write(root: Path, passed: bool = True) -> tuple[RunPaths, Provenance]:
    """Its directories under `root`, and its provenance; `passed` is the result of its gates."""
    run = RunPaths.under(root)
    for folder in (
        run.ingest,
        run.split,
        run.train,
        run.gate,
        run.bundle,
        run.evaluate / "plots",
        run.validate / "docs",
    ):
        folder.mkdir(parents=True)
    (run.ingest / "snapshot.parquet").write_bytes(b"snapshot")
    (run.split / "holdout.parquet").write_bytes(b"holdout")
    (run.evaluate / "plots" / "roc.png").write_bytes(b"PNG")
    (run.validate / "docs" / "index.html").write_text("<p>docs</p>")
    (run.train / "model.keras").write_bytes(b"keras")
    bundles.write(run.bundle / "bundle", passed=passed)
    bundles.TABULAR.save(run.train / "schema.json")
    _write_reports(run)
    return run, _provenance(root, run)


def _provenance(root: Path, run: RunPaths) -> Provenance:
    source = DataSource.read(run.ingest)
    return Provenance(
        usecase="loans",
        run_key=hashlib.sha256(str(root).encode()).hexdigest(),
        attempt=1,
        created="2026-01-31T12:00:00.000000+00:00",
        cutoff=None,
        seed=7,
        overrides={},
        source=source,
        synthetic=True,
        data_sha256=source.snapshot_sha256,
        holdout_sha256=SplitReport.read(run.split).holdout_sha256,
        champion=None,
        production=None,
        code_sha256="c" * 64,
        lock_sha256=None,
        git_commit="0" * 40,
        git_dirty=False,
    )


def _write_reports(run: RunPaths) -> None:
    GatedReport(
        metric="roc_auc",
        scores={"roc_auc": Score(0.8, 0.75, 0.85), "ece": Score(None, None, None)},
        calibration=None,
        confusion=None,
        slices=[],
        baseline=BaselineScore(name="LogisticRegression", metric="roc_auc", value=0.78, low=0.7, high=0.8),
        gates=[],
        passed=True,
    ).write(run.gate)
    write_history(run.train, HISTORY)
    TrainingReport(
        device="cpu",
        devices=["CPU"],
        strategy="none",
        replicas=1,
        seconds=1.0,
        epochs=2,
        best_epoch=2,
        seed=7,
        rows={"train": 30, "validation": 5},
        network="default",
        weights=100,
        params={"epochs": 2, "width": 8, "temperature": 3, "rate (%)": 5, "rate [%]": 6},
        threshold=0.5,
        target_scale=1.0,
        temperature=1.1,
    ).write(run.train)
    snapshot, holdout = run.ingest / "snapshot.parquet", run.split / "holdout.parquet"
    DataSource(origin="made up", synthetic=True, rows=40, snapshot_sha256=file_sha256(snapshot)).write(run.ingest)
    SplitReport(counts={}, frozen=False, production=None, holdout_sha256=file_sha256(holdout), leaks={}).write(
        run.split
    )
