"""Evaluate every gate on the candidate and write the verdicts into its metrics."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipelines.artifacts import EvaluationReport, GatedReport
from pipelines.gates import GATES
from pipelines.gates.candidate import Candidate
from slipway.config import UseCase


def gate(
    usecase: UseCase,
    split: Path,
    exported: Path,
    evaluated: Path,
    out: Path,
    champion: Path | None = None,
    window: Path | None = None,
) -> None:
    """Write `metrics.json` into `out`: the evaluation with `gates` and `passed`. A failed gate does not fail the run.

    `window` holds the newest labelled predictions, which are not trained on.

    Raises:
        ServiceError: a server whose latency is measured did not start, or refused a row.
    """
    evaluation = EvaluationReport.read(evaluated)
    candidate = Candidate(usecase, evaluation.metric, split, exported, evaluated, champion, window)
    verdicts = [verdict for one in GATES for verdict in one(candidate)]
    passed = not any(verdict.failed for verdict in verdicts)
    GatedReport(**msgspec.structs.asdict(evaluation), gates=verdicts, passed=passed).write(out)
