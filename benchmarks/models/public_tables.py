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

from benchmarks.models.pipeline_steps import train_and_evaluate
from benchmarks.pages import write
from pipelines.artifacts import GatedReport
from pipelines.packaging.score_words import format_score
from pipelines.steps.export import export
from pipelines.steps.gate import gate
from slipway.config import UseCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "gates-and-holdout.md"
TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes")


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
    started = time.monotonic()
    steps = train_and_evaluate(usecase, folder / usecase.name)
    exported, gated = (folder / usecase.name / name for name in ("export", "gate"))
    exported.mkdir()
    gated.mkdir()
    export(usecase, steps["split"], steps["train"], exported)
    gate(usecase, steps["split"], exported, steps["evaluate"], gated)
    return Result(usecase.name, GatedReport.read(gated), time.monotonic() - started)


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
