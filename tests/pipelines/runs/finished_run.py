"""A run that is done up to its bundle, made up in a moment: what `register` is given."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipelines.artifacts import RunPaths, write_json
from slipway.system.files import file_sha256
from tests.support import bundles

HISTORY = {"loss": [0.7, 0.5], "error": [0.5, 0.4], "val_loss": [0.8, 0.6], "val_error": [0.5, 0.45]}


def write(root: Path, passed: bool = True) -> tuple[RunPaths, dict[str, Any]]:
    """Its directories under `root`, and its facts; `passed` says what became of its gate."""
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
    scores = {
        "roc_auc": {"value": 0.8, "low": 0.75, "high": 0.85},
        "ece": {"value": None, "low": None, "high": None},
    }
    base = {"name": "LogisticRegression", "metric": "roc_auc", "value": 0.78, "low": 0.7, "high": 0.8}
    write_json(run.gate / "metrics.json", {"metric": "roc_auc", "scores": scores, "baseline": base})
    write_json(run.train / "history.json", HISTORY)
    fit = {"params": {"epochs": 2, "width": 8}, "network": "default", "device": "cpu", "strategy": "none"}
    write_json(run.train / "training.json", {**fit, "best_epoch": 2, "temperature": 1.1, "threshold": 0.5})
    source = {"origin": "made up", "synthetic": True, "rows": 40}
    write_json(run.ingest / "source.json", {**source, "snapshot_sha256": file_sha256(run.ingest / "snapshot.parquet")})
    write_json(run.split / "split.json", {"holdout_sha256": file_sha256(run.split / "holdout.parquet")})
    facts = {
        "run_key": hashlib.sha256(str(root).encode()).hexdigest(),
        "data_sha256": file_sha256(run.ingest / "snapshot.parquet"),
        "holdout_sha256": file_sha256(run.split / "holdout.parquet"),
        "git_commit": "0" * 40,
        "synthetic": True,
    }
    return run, facts
