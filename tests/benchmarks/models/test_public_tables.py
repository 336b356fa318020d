"""The benchmark of docs/explanation/gates-and-holdout.md, without its trainings."""

from __future__ import annotations

import pytest

from benchmarks.models.public_tables import PAGE, TABLES, Result, describe, table
from pipelines.artifacts import BaselineScore, GatedReport, Score
from slipway.contracts.bundle.gate_report import Gate


@pytest.mark.parametrize(
    ("name", "task", "classes"),
    [("breast_cancer", "binary", ["0", "1"]), ("iris", "multiclass", ["0", "1", "2"]), ("diabetes", "regression", [])],
)
def test_a_table_is_described_without_gates(tmp_path, name, task, classes):
    usecase = describe(name, tmp_path)
    assert (usecase.task, usecase.target.classes) == (task, classes)
    assert "gates" not in usecase.model_fields_set and len(usecase.features) > 3


def test_a_refusal_is_in_the_table_with_its_words():
    trivial = BaselineScore(name="always", metric="mae", value=9.0, low=8.0, high=10.0)
    report = GatedReport(
        metric="r2",
        scores={"mae": Score(4.0, 3.5, 4.5)},
        calibration=None,
        confusion=None,
        slices=[],
        rows={"train": 900, "holdout": 300},
        trivial=trivial,
        gates=[Gate("size", 2.0, 1.0, "failed", "Too large.")],
        passed=False,
    )
    result = Result("iris", report, 9.6)
    expected = "| iris | 1,200 | mae | 4.000 (3.500 to 4.500) | 9.00 (8.00 to 10.00) |  | refused | 10 s |"
    assert list(table([result]))[-1] == expected
    assert result.reasons == ["size: Too large."] and result.is_wronged


def test_the_page_shows_that_a_default_refuses_only_where_a_linear_model_is_better():
    rows = [[cell.strip() for cell in line.split("|")] for line in PAGE.read_text().splitlines()]
    shown = {row[1]: row for row in rows if len(row) == 10 and row[1] in TABLES}
    assert set(shown) == set(TABLES)
    for row in shown.values():
        network, linear = (float(cell.split(" ")[0]) for cell in (row[4], row[6]))
        assert row[7] == "passed" or (row[7] == "refused" and linear > network)
