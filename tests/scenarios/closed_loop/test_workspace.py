"""Workspace of the closed loop: a use case and a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.closed_loop import scenario, workspace
from scenarios.harness import state_folder
from slipway import config as usecases
from slipway.cli.environment import move
from slipway.errors import ServiceError, UseCaseError
from slipway.local.state import StackLock, State
from slipway.settings import settings


def test_its_use_case_is_the_original_with_fewer_rows_and_no_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = usecases.load(workspace.original(settings().usecases).name)
    workspace.write(original.folder, tmp_path / "usecases")
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    found = usecases.load(original.name)
    load = found.function("data", "load")
    assert load is not None and len(load(1)) == workspace.ROWS
    assert found.auto_promote
    assert found.canary.stages == list(workspace.STAGES)
    assert found.retraining.min_labelled_rows == workspace.MIN_LABELLED_ROWS
    assert (found.schedule.train, found.schedule.monitor, found.source.path) == (None, None, None)
    assert (found.features, found.target, found.split) == (original.features, original.target, original.split)


def test_the_first_labels_after_the_drift_are_too_few_for_a_training() -> None:
    assert scenario.ROWS_BEFORE + scenario.ROWS_AFTER < workspace.MIN_LABELLED_ROWS
    assert scenario.ROWS_AFTER >= workspace.WINDOW


def test_the_first_use_case_with_a_concept_drift_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("apples", "credit_risk", "digits"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "usecase.yaml").write_text(f"name: {name}\n")
    assert workspace.original(tmp_path) == tmp_path / "credit_risk"


def test_without_a_use_case_that_has_a_concept_drift_the_error_names_the_missing_module(tmp_path: Path) -> None:
    (tmp_path / "credit_risk").mkdir()
    with pytest.raises(UseCaseError, match=r"has a concept drift: .* scenarios/closed_loop/USECASE_concept_drift\.py"):
        workspace.original(tmp_path)


def test_a_use_case_without_the_line_of_its_rows_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "loans"
    folder.mkdir()
    (folder / "data.py").write_text("ROWS = 7\n")
    with pytest.raises(UseCaseError, match="has no line `ROWS = 6000`"):
        workspace.write(folder, tmp_path / "usecases")


def test_what_an_earlier_loop_left_is_removed_unless_it_still_runs(tmp_path: Path) -> None:
    (tmp_path / "loop" / "mlflow").mkdir(parents=True)
    state_folder.empty(tmp_path / "loop", "a closed loop")
    assert not (tmp_path / "loop").exists()
    lock = StackLock(tmp_path / "loop")
    lock.write(State(os.getpid(), "loop", {}))
    with pytest.raises(ServiceError, match="a closed loop runs"):
        state_folder.empty(tmp_path / "loop", "a closed loop")
    lock.release()


def test_nothing_that_the_shell_is_set_up_for_leads_out_of_the_loops_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = {
        "SLIPWAY_LOG_URL": "s3://production/log",
        "SLIPWAY_ENVIRONMENT": "production",
        "MLFLOW_TRACKING_URI": "https://mlflow.example.com",
        "PREFECT_API_URL": "https://prefect.example.com/api",
        "PREFECT_HOME": "/elsewhere",
        "SLIPWAY_MLFLOW_PORT": "5055",
        "SLIPWAY_USECASES": "usecases",
        "BENTOML_HOME": "/elsewhere",
        "KERAS_HOME": "/elsewhere",
        "MPLCONFIGDIR": "/elsewhere",
    }
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    move(tmp_path / "loop", tmp_path / "loop" / "usecases")
    found = settings()
    assert found.log_root == str(tmp_path / "loop" / "log")
    assert (found.environment, found.mlflow_port) == ("local", 5055)
    assert found.registry_uri == "http://127.0.0.1:5055"
    assert found.usecases == tmp_path / "loop" / "usecases"
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "loop" / "prefect")


def test_an_unknown_kind_of_sabotage_begins_nothing(var: Path) -> None:
    argv = [sys.executable, "-m", "scenarios.closed_loop", "--sabotage", "fire"]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "--sabotage 'fire': choose of errors, slow, slice" in ran.stderr
    assert not (var / "loop").exists()
