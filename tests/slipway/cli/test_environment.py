"""No library phones home or writes outside the state folder, unless the person says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.cli.environment import prepare


@pytest.fixture
def variables(monkeypatch, tmp_path) -> dict[str, str]:
    """An environment like a fresh shell's, in which `prepare` may write."""
    fresh = {"SLIPWAY_VAR": str(tmp_path / "var"), "PATH": os.environ["PATH"]}
    monkeypatch.setattr(os, "environ", fresh)
    return fresh


def test_telemetry_is_off_and_caches_lie_in_the_state_folder(variables, tmp_path):
    prepare()
    assert variables["DO_NOT_TRACK"] == "1"
    assert {variables[name] for name in ("MLFLOW_DISABLE_TELEMETRY", "BENTOML_DO_NOT_TRACK")} == {"true", "True"}
    homes = ("PREFECT_HOME", "BENTOML_HOME", "KERAS_HOME", "MPLCONFIGDIR")
    assert all(Path(variables[name]).is_relative_to(tmp_path / "var") for name in homes)


def test_what_a_person_has_set_stays(variables):
    variables["PREFECT_HOME"] = "/elsewhere"
    prepare()
    assert variables["PREFECT_HOME"] == "/elsewhere"


def test_the_predictor_leaves_nothing_in_the_home_folder(tmp_path):
    # CI is unset because ONNX Runtime's telemetry is silent there by itself
    fresh = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    code = "import slipway.inference, onnxruntime; onnxruntime.SessionOptions()"
    subprocess.run([sys.executable, "-c", code], check=True, env={**fresh, "HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []
