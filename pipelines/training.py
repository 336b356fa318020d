"""Training as a contents page: each line is a step, and each step is the module of its name.

`pipelines.flows` gives it to Prefect; the quick loop (`--no-register`) runs it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.bundle import bundle
from pipelines.champion import champion
from pipelines.check import check
from pipelines.clean import clean
from pipelines.evaluate import evaluate
from pipelines.export import export
from pipelines.gates import gate
from pipelines.ingest import ingest
from pipelines.outcome import Outcome, facts, outcome
from pipelines.params import resolve
from pipelines.production import production
from pipelines.register import register
from pipelines.runs import Run
from pipelines.split import split
from pipelines.train import train
from pipelines.validate import validate
from slipway.usecase import UseCase

Do = Callable[..., Path]


def training(usecase: UseCase, run: Run, do: Do) -> Outcome:
    """Every step of the run through `do(name, function, *arguments)`, which gives the step's directory.

    Raises:
        SlipwayError: a parameter or a gate (said before any work), the data or the network is not as it must be.
    """
    if run.finished:
        return outcome(usecase, run)
    resolve(usecase)
    check(usecase)
    ingested = do("ingest", ingest, usecase)
    cleaned = do("clean", clean, usecase, ingested)
    do("validate", validate, usecase, cleaned)
    standing = do("champion", champion, usecase.name, run.record.standing)
    produced = do("production", production, usecase, cleaned, standing, run.record.cutoff)
    frozen = _there(standing / "holdout.parquet")
    sides = do("split", split, usecase, cleaned, frozen=frozen, production=produced)
    trained = do("train", train, usecase, sides)
    evaluated = do("evaluate", evaluate, usecase, sides, trained)
    exported = do("export", export, usecase, sides, trained)
    beside = {"champion": _there(standing / "bundle"), "window": _there(produced / "window.parquet")}
    gated = do("gate", gate, usecase, sides, exported, evaluated, **beside)
    do("bundle", bundle, usecase, facts(usecase, run), sides, trained, evaluated, exported, gated)
    if run.registers:
        do("register", register, usecase, run.paths, facts(usecase, run))
    return outcome(usecase, run)


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
