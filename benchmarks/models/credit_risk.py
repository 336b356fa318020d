"""The default network beside scikit-learn's LogisticRegression on the UCI German credit file, over five splits.

`python -m benchmarks.models.credit_risk --data FILE` runs the pipeline's own steps once per salt of the split and
writes the table in docs/explanation/default-network.md. Both see the same inputs and the same 600, 200 and 200 rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.models.pipeline_steps import train_and_evaluate
from benchmarks.pages import write
from pipelines.artifacts import EvaluationReport, TrainingReport
from slipway.config import load
from slipway.settings import settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "default-network.md"
SALTS = ("one", "two", "three", "four", "five")
ALLOWED = 0.02


@dataclass(frozen=True)
class Result:
    """Result of one split: holdout ROC AUC of the network and of the linear model, and the training's seconds."""

    salt: str
    network: float
    linear: float
    seconds: float


def measure(data: Path, salt: str, folder: Path) -> Result:
    """Train once on the real file, split by that salt."""
    usecase = load("credit_risk", {"source.path": str(data.resolve()), "split.salt": salt})
    steps = train_and_evaluate(usecase, folder / salt)
    report = EvaluationReport.read(steps["evaluate"])
    network, linear = report.scores["roc_auc"].value, report.baseline and report.baseline.value
    assert network is not None and linear is not None
    return Result(salt, network, linear, TrainingReport.read(steps["train"]).seconds)


def table(results: list[Result]) -> Iterator[str]:
    """Format the results as Markdown, with their means last."""
    yield "| salt of the split | default network | LogisticRegression | training |"
    yield "| --- | ---: | ---: | ---: |"
    for result in results:
        yield f"| {result.salt} | {result.network:.3f} | {result.linear:.3f} | {result.seconds:.0f} s |"
    network, linear = mean(results)
    seconds = np.mean([result.seconds for result in results])
    yield f"| **mean** | **{network:.3f}** | **{linear:.3f}** | {seconds:.0f} s |"


def mean(results: list[Result]) -> tuple[float, float]:
    return float(np.mean([r.network for r in results])), float(np.mean([r.linear for r in results]))


def main() -> int:
    """Run the benchmark; returns 0 if the network's mean is at least the linear model's less 0.02."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=settings().var / "data" / "german.data", help="the UCI file")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"there is no {options.data}: usecases/credit_risk/README.md says where the file comes from.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(options.data, salt, Path(folder)) for salt in SALTS]
    lines = list(table(results))
    write(lines, options.page)
    sys.stdout.write("\n".join([*lines, f"\n{time.monotonic() - started:.0f} s; written to {options.page}\n"]))
    network, linear = mean(results)
    return 0 if network >= linear - ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
