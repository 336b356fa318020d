"""The gate step: every gate judges the candidate, and the verdicts are written into its metrics."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipelines.artifacts import read_json, write_json
from pipelines.gates import GATES
from pipelines.gates.candidate import Candidate
from slipway.config import UseCase

__all__ = ["gate"]


def gate(
    usecase: UseCase,
    split: Path,
    exported: Path,
    evaluated: Path,
    out: Path,
    champion: Path | None = None,
    window: Path | None = None,
) -> None:
    """Leave `metrics.json` in `out`: the evaluation's with `gates` and `passed`. A gate that fails fails no run.

    `window` holds the newest labelled rows of production, which nobody trained on.

    Raises:
        ServiceError: a server, whose answers are timed, did not start or refused a row.
    """
    metrics = read_json(evaluated / "metrics.json")
    judged = Candidate(usecase, metrics, split, exported, evaluated, champion, window)
    verdicts = [verdict for one in GATES for verdict in one(judged)]
    passed = not any(verdict.failed for verdict in verdicts)
    write_json(out / "metrics.json", {**metrics, "gates": msgspec.to_builtins(verdicts), "passed": passed})
