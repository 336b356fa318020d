"""Training pipeline: each line of `training` is a step, and each step is a module of `pipelines.steps`.

`pipelines.flows` runs it as a Prefect flow; `slipway train --no-register` runs the plain functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.modeling.hyperparameters import resolve
from pipelines.runs.run import Run
from pipelines.runs.summary import RunSummary, provenance, summarize
from pipelines.steps.bundle import bundle
from pipelines.steps.champion import champion
from pipelines.steps.clean import clean
from pipelines.steps.collect_labels import collect_labels
from pipelines.steps.evaluate import evaluate
from pipelines.steps.export import export
from pipelines.steps.gate import gate
from pipelines.steps.ingest import ingest
from pipelines.steps.preflight import preflight
from pipelines.steps.register import register
from pipelines.steps.split import split
from pipelines.steps.train import train
from pipelines.steps.validate import validate
from slipway.config import UseCase

StepRunner = Callable[..., Path]


def training(usecase: UseCase, run: Run, do: StepRunner) -> RunSummary:
    """Run every step by `do(name, function, *arguments)`, which returns the step's directory.

    Raises:
        SlipwayError: a parameter or a gate (checked before any work), the data or the network is not valid.
    """
    if run.finished:
        return summarize(usecase, run)
    resolve(usecase)
    preflight(usecase)
    ingested = do("ingest", ingest, usecase)
    cleaned = do("clean", clean, usecase, ingested)
    do("validate", validate, usecase, cleaned)
    baseline = do("champion", champion, usecase.name, run.record.baseline)
    labelled = do("production", collect_labels, usecase, cleaned, baseline, run.record.cutoff)
    frozen = _if_exists(baseline / "holdout.parquet")
    sides = do("split", split, usecase, cleaned, frozen=frozen, production=labelled)
    trained = do("train", train, usecase, sides)
    evaluated = do("evaluate", evaluate, usecase, sides, trained)
    exported = do("export", export, usecase, sides, trained)
    compared = {"champion": _if_exists(baseline / "bundle"), "window": _if_exists(labelled / "window.parquet")}
    gated = do("gate", gate, usecase, sides, exported, evaluated, **compared)
    do("bundle", bundle, usecase, provenance(usecase, run), sides, trained, evaluated, exported, gated)
    if run.registers:
        do("register", register, usecase, run.paths, provenance(usecase, run))
    return summarize(usecase, run)


def _if_exists(path: Path) -> Path | None:
    return path if path.exists() else None
