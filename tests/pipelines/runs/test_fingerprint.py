"""Which changes of code make another run: those that can change a model, and no others."""

from __future__ import annotations

import shutil

import pytest

from pipelines.runs import fingerprint


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a few modules of each package, in place of the code that runs."""
    root = tmp_path / "checkout"
    for path in CHANGES_A_MODEL + CHANGES_NO_MODEL:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fingerprint.ROOT / path, file)
    monkeypatch.setattr(fingerprint, "ROOT", root)
    return root


CHANGES_A_MODEL = [
    "slipway/contracts/schema/model.py",
    "slipway/config/sections.py",
    "slipway/evaluation/metrics.py",
    "slipway/inference/predictor.py",
    "slipway/prediction_log/reader.py",
    "slipway/model_api.py",
    "pipelines/training.py",
    "pipelines/steps/train.py",
    "pipelines/gates/comparison.py",
    "pipelines/packaging/model_card.py",
]
CHANGES_NO_MODEL = [
    "slipway/cli/__init__.py",
    "slipway/clients/mlflow/registry.py",
    "slipway/local/services.py",
    "pipelines/commands/train.py",
    "pipelines/flows.py",
    "pipelines/deployments.py",
    "pipelines/work_pool.py",
    "pipelines/packaging/plots.py",
    "monitoring/monitor.py",
    "bentos/service.py",
    "scenarios/demo/__init__.py",
    "docs/index.md",
]


@pytest.mark.parametrize("path", CHANGES_A_MODEL)
def test_code_that_can_change_a_model_makes_another_run(checkout, usecase, orders, path):
    found = usecase(orders)
    before = fingerprint.code_digest(found)
    (checkout / path).write_text("changed")
    assert fingerprint.code_digest(found) != before


@pytest.mark.parametrize("path", CHANGES_NO_MODEL)
def test_code_that_cannot_change_a_model_makes_no_other_run(checkout, usecase, orders, path):
    found = usecase(orders)
    before = fingerprint.code_digest(found)
    (checkout / path).write_text("changed")
    assert fingerprint.code_digest(found) == before


@pytest.mark.parametrize("name", ["usecase.yaml", "model.py", "features/names.py"])
def test_every_code_file_of_the_use_case_counts(usecase, orders, name):
    found = usecase(orders)
    before = fingerprint.code_digest(found)
    path = found.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed")
    assert fingerprint.code_digest(found) != before
