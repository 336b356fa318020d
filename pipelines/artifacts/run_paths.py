"""Directories of a training run, one per step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STEPS = (
    *("ingest", "clean", "validate", "champion", "production", "split"),
    *("train", "evaluate", "export", "gate", "bundle", "register"),
)


@dataclass(frozen=True)
class RunPaths:
    """Step directories of a run. An existing directory is complete; `production` is that of the step collect_labels."""

    root: Path
    ingest: Path
    clean: Path
    validate: Path
    champion: Path
    production: Path
    split: Path
    train: Path
    evaluate: Path
    export: Path
    gate: Path
    bundle: Path
    register: Path

    @classmethod
    def under(cls, root: Path) -> RunPaths:
        """Return the paths below the run's directory `root`."""
        return cls(root, *(root / step for step in STEPS))
