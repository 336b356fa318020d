"""The gates' defaults on the tables that scikit-learn ships: whom they refuse, and why.

`python -m benchmarks.models.public_tables` trains each table with the defaults, without any declared gate, by the
pipeline's own steps, and writes the table in docs/explanation/gates-and-holdout.md.
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

from benchmarks.statistics.drift import write
from pipelines.artifacts import GatedReport
from pipelines.packaging.score_words import format_score
from pipelines.steps.clean import clean
from pipelines.steps.evaluate import evaluate
from pipelines.steps.export import export
from pipelines.steps.gate import gate
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from pipelines.steps.train import train
from slipway.config import UseCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "gates-and-holdout.md"
TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes")
_STEPS = ("ingest", "clean", "split", "train", "evaluate", "export", "gate")


@dataclass(frozen=True)
class Result:
    """Result of one table: its gated report, and the seconds of all steps."""

    table: str
    report: GatedReport
    seconds: float

    @property
    def reasons(self) -> list[str]:
        """The gates that refused, with what they say."""
        return [f"{gate.name}: {gate.sentence}" for gate in self.report.gates if gate.failed]

    @property
    def is_wronged(self) -> bool:
        """Whether a default refuses the network although no linear model scores better."""
        trivial, linear = self.report.trivial, self.report.baseline
        own = self.report.scores[trivial.metric].value if trivial else None
        return not self.report.passed and not (linear and linear.value and own and linear.value > own)


def describe(name: str, folder: Path) -> UseCase:
    """Write scikit-learn's table as a CSV file, and describe it as a use case without gates."""
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    classes = [] if name == "diabetes" else [str(value) for value in sorted(frame["target"].unique())]
    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return UseCase.model_validate(
        {
            "name": name,
            "owner": "benchmark",
            "task": task,
            "source": {"path": str(path)},
            "features": [{"name": column, "kind": "number"} for column in frame.columns.drop("target")],
            "target": {"name": "target", "classes": classes, "positive": classes[1] if task == "binary" else None},
            "folder": folder,
        }
    )


def measure(usecase: UseCase, folder: Path) -> Result:
    """Train the use case once, and test its gates."""
    steps, started = {name: folder / usecase.name / name for name in _STEPS}, time.monotonic()
    for path in steps.values():
        path.mkdir(parents=True)
    ingest(usecase, steps["ingest"])
    clean(usecase, steps["ingest"], steps["clean"])
    split(usecase, steps["clean"], steps["split"])
    train(usecase, steps["split"], steps["train"])
    evaluate(usecase, steps["split"], steps["train"], steps["evaluate"])
    export(usecase, steps["split"], steps["train"], steps["export"])
    gate(usecase, steps["split"], steps["export"], steps["evaluate"], steps["gate"])
    return Result(usecase.name, GatedReport.read(steps["gate"]), time.monotonic() - started)


def table(results: list[Result]) -> Iterator[str]:
    """Format the results as Markdown."""
    yield "| table | rows | metric | default network | no feature | linear | gates | all steps |"
    yield "| --- | ---: | --- | --- | --- | --- | --- | ---: |"
    for result in results:
        report, trivial = result.report, result.report.trivial
        assert trivial is not None
        cells = [
            *(result.table, f"{sum(report.rows.values()):,}", trivial.metric),
            *(format_score(report.scores[trivial.metric]), format_score(trivial)),
            format_score(report.baseline) if report.baseline else "",
            *("passed" if report.passed else "refused", f"{result.seconds:.0f} s"),
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> int:
    """Run the benchmark; returns 0 if no default refuses a network that is better than the linear model."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda names: names.split(","), default=TABLES, help="tables, with commas")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(describe(name, Path(folder)), Path(folder)) for name in options.only]
    lines = list(table(results))
    write(lines, options.page)
    refused = [f"{result.table}: {reason}" for result in results for reason in result.reasons]
    sys.stdout.write("\n".join([*lines, *refused, f"written to {options.page}\n"]))
    return 1 if any(result.is_wronged for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
