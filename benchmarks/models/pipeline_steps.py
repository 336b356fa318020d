"""The pipeline's own steps as plain functions, for benchmarks of models."""

from __future__ import annotations

from pathlib import Path

from pipelines.steps.clean import clean
from pipelines.steps.evaluate import evaluate
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from pipelines.steps.train import train
from slipway.config import UseCase

_STEPS = ("ingest", "clean", "split", "train", "evaluate")


def train_and_evaluate(usecase: UseCase, folder: Path) -> dict[str, Path]:
    """Train the use case once and score it on its holdout; returns the directory of each step, below `folder`."""
    steps = {name: folder / name for name in _STEPS}
    for path in steps.values():
        path.mkdir(parents=True)
    ingest(usecase, steps["ingest"])
    clean(usecase, steps["ingest"], steps["clean"])
    split(usecase, steps["clean"], steps["split"])
    train(usecase, steps["split"], steps["train"])
    evaluate(usecase, steps["split"], steps["train"], steps["evaluate"])
    return steps
