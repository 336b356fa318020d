"""Results of runs: counted by outcome, none lost to a damaged file, and a log that fails fails no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import DataError
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import RunHistory
from tests.support.damages import DAMAGES


def run(outcome: str | None = "succeeded", **facts: dict[str, int]) -> None:
    with pipeline_runs.recorded(settings(), "loans", "train") as result:
        result.outcome = outcome
        result.rows, result.gates = facts.get("rows", {}), facts.get("gates", {})


def history() -> RunHistory | None:
    return pipeline_runs.read(settings(), "loans", "train")


def test_runs_are_counted_by_outcome_and_facts_are_those_of_the_last(var: Path) -> None:
    assert history() is None
    run(rows={"train": 60}, gates={"passed": 9})
    run("refused", rows={"train": 70}, gates={"passed": 8, "failed": 1})
    run(None)
    with pytest.raises(DataError), pipeline_runs.recorded(settings(), "loans", "train"):
        raise DataError("no rows")
    found = history()
    assert found.runs == {"succeeded": 1, "refused": 1, "failed": 1}
    assert found.ended["succeeded"] < found.ended["refused"] < found.ended["failed"]
    assert (found.rows, found.gates) == ({}, {})
    assert pipeline_runs.read(settings(), "loans", "monitor") is None


def test_a_run_that_is_interrupted_has_no_result(var: Path) -> None:
    with pytest.raises(KeyboardInterrupt), pipeline_runs.recorded(settings(), "loans", "train"):
        raise KeyboardInterrupt
    assert history() is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"runs": {"succeeded": "many"}}', b'{"ended": {"failed": "soon"}}'])
def test_a_damaged_file_is_replaced_by_the_next_run(var: Path, content: bytes) -> None:
    run()
    path = var / "log" / pipeline_runs.object_name(settings(), "loans", "train")
    path.write_bytes(content)
    run("refused")
    assert history().runs == {"refused": 1}


def test_a_log_that_cannot_be_written_fails_no_run(var: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = var / "log" / pipeline_runs.object_name(settings(), "loans", "train")
    path.parent.mkdir(parents=True)
    DAMAGES["a folder"](path)
    run()
    assert "loans: the result of the run train cannot be recorded" in caplog.text
