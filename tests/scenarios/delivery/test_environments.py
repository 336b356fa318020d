"""Environments of the rehearsal, and the changes that are pushed: both fit the files of this checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scenarios.delivery import environments, pushed_changes
from scenarios.delivery.environments import OVERLAYS
from slipway.config import load
from slipway.errors import ServiceError
from slipway.settings import settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    for name in ("infra/kubernetes", "usecases"):
        shutil.copytree(ROOT / name, folder / name)
    environments.fit_to_this_machine(folder)
    return folder


@pytest.mark.parametrize("name", environments.NAMES)
def test_an_overlay_has_the_service_alone_in_a_namespace_of_its_own(checkout, name, needs):
    command = [needs("kustomize"), "build", str(checkout / OVERLAYS / name)]
    rendered = list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert {one["metadata"].get("namespace") for one in rendered} == {f"slipway-{name}", None}
    [deployment] = [one for one in rendered if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["initContainers"] + pod["containers"]] == ["ship", "service"]
    [settings_of_pods] = [one["data"] for one in rendered if one["kind"] == "ConfigMap"]
    assert settings_of_pods["SLIPWAY_ENVIRONMENT"] == name


def test_the_platforms_image_can_be_made_small_by_a_text_that_the_makefile_has(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    environments.replace(tmp_path / "Makefile", *environments.PLATFORM_LOCK)
    assert "--target platform --build-arg LOCK=shipping" in (tmp_path / "Makefile").read_text()


def test_the_use_case_is_valid_and_small_and_can_be_changed(checkout, monkeypatch):
    monkeypatch.setenv("SLIPWAY_USECASES", str(checkout / "usecases"))
    settings.cache_clear()
    name = environments.usecase(checkout)
    before = load(name)
    pushed_changes.train_with_another_seed(checkout)
    assert load(name).seed == pushed_changes.OTHER_SEED != before.seed


def test_the_service_is_broken_by_a_line_that_this_checkout_has(tmp_path):
    file, before, after = pushed_changes.PROBLEM_TYPE
    (tmp_path / file).parent.mkdir()
    shutil.copy(ROOT / file, tmp_path / file)
    pushed_changes.break_error_responses(tmp_path)
    assert (tmp_path / file).read_text() == (ROOT / file).read_text().replace(before, after)
    with pytest.raises(ServiceError, match="problem_details.py has no"):
        pushed_changes.break_error_responses(tmp_path)
