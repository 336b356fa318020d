"""Records of a run's JSON files: the files of `earlier_run` were written before there were records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from pipelines.artifacts import (
    Artifact,
    CleaningReport,
    DataSource,
    EvaluationReport,
    GatedReport,
    LabelReport,
    ParityReport,
    Registration,
    RunPaths,
    SplitReport,
    TrainingReport,
    ValidationReport,
    read_history,
    write_history,
)
from pipelines.runs.run import RunRecord

EARLIER = Path(__file__).parent / "earlier_run"
PATHS = RunPaths.under(EARLIER)
RECORDS: list[tuple[type[Artifact], Path]] = [
    (RunRecord, PATHS.root),
    (DataSource, PATHS.ingest),
    (CleaningReport, PATHS.clean),
    (ValidationReport, PATHS.validate),
    (LabelReport, PATHS.production),
    (SplitReport, PATHS.split),
    (TrainingReport, PATHS.train),
    (EvaluationReport, PATHS.evaluate),
    (ParityReport, PATHS.export),
    (GatedReport, PATHS.gate),
    (Registration, PATHS.register),
]


@pytest.mark.parametrize(("kind", "folder"), RECORDS, ids=[kind.__name__ for kind, _ in RECORDS])
def test_a_file_of_an_earlier_run_is_read_and_written_with_the_same_content(kind, folder, tmp_path):
    kind.read(folder).write(tmp_path)
    assert json.loads((tmp_path / kind.FILE).read_text()) == json.loads((folder / kind.FILE).read_text())


def test_evaluations_are_written_byte_for_byte_as_before(tmp_path):
    EvaluationReport.read(PATHS.evaluate).write(tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() == (PATHS.evaluate / "metrics.json").read_bytes()


def test_a_gated_report_extends_the_evaluation():
    gated, evaluation = GatedReport.read(PATHS.gate), EvaluationReport.read(PATHS.evaluate)
    assert gated.scores == evaluation.scores and gated.slices == evaluation.slices
    assert {gate.name for gate in gated.gates} >= {"champion", "size", "latency"}


def test_the_history_of_an_earlier_run_is_read_and_written(tmp_path):
    write_history(tmp_path, read_history(PATHS.train))
    assert (tmp_path / "history.json").read_bytes() == (PATHS.train / "history.json").read_bytes()


def test_unknown_fields_are_ignored(tmp_path):
    content = json.loads((PATHS.ingest / "source.json").read_text())
    (tmp_path / "source.json").write_text(json.dumps(content | {"compression": "zstd"}))
    assert DataSource.read(tmp_path) == DataSource.read(PATHS.ingest)


def test_a_missing_field_is_an_error(tmp_path):
    shutil.copy(PATHS.ingest / "source.json", tmp_path)
    content = json.loads((tmp_path / "source.json").read_text())
    del content["snapshot_sha256"]
    (tmp_path / "source.json").write_text(json.dumps(content))
    with pytest.raises(msgspec.ValidationError, match="snapshot_sha256"):
        DataSource.read(tmp_path)


def test_a_report_without_used_labels_has_no_fields_of_tables(tmp_path):
    LabelReport(cutoff="2026", environment="local", labelled=3, left_out={"too few": 3}, callers_left_out=[]).write(
        tmp_path
    )
    assert set(json.loads((tmp_path / "production.json").read_text())) == {
        *("cutoff", "environment", "labelled", "left_out", "callers_left_out")
    }
