"""Training as a contents page: each line is a step, and each step is the module of its name.

`pipelines.flows` gives it to Prefect; the quick loop (`--no-register`) runs it as it is.
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
    """Every step of the run through `do(name, function, *arguments)`, which gives the step's directory.

    Raises:
        SlipwayError: a parameter or a gate (said before any work), the data or the network is not as it must be.
    """
    if run.finished:
        return summarize(usecase, run)
    resolve(usecase)
    preflight(usecase)
    ingested = do("ingest", ingest, usecase)
    cleaned = do("clean", clean, usecase, ingested)
    do("validate", validate, usecase, cleaned)
    standing = do("champion", champion, usecase.name, run.record.standing)
    produced = do("production", collect_labels, usecase, cleaned, standing, run.record.cutoff)
    frozen = _there(standing / "holdout.parquet")
    sides = do("split", split, usecase, cleaned, frozen=frozen, production=produced)
    trained = do("train", train, usecase, sides)
    evaluated = do("evaluate", evaluate, usecase, sides, trained)
    exported = do("export", export, usecase, sides, trained)
    beside = {"champion": _there(standing / "bundle"), "window": _there(produced / "window.parquet")}
    gated = do("gate", gate, usecase, sides, exported, evaluated, **beside)
    do("bundle", bundle, usecase, provenance(usecase, run), sides, trained, evaluated, exported, gated)
    if run.registers:
        do("register", register, usecase, run.paths, provenance(usecase, run))
    return summarize(usecase, run)


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
