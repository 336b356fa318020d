"""Stand-ins for actions: each action that a workflow uses has one, and those of artifacts store what is uploaded."""

from __future__ import annotations

import importlib.util

import pytest
import yaml

from scenarios.delivery import stand_ins
from slipway.errors import ServiceError

SHA = "0123456789012345678901234567890123456789"
GITHUB = stand_ins.ROOT / ".github"
ALL = sorted(path.parent for path in stand_ins.FOLDER.rglob("action.yml"))


@pytest.fixture
def github(tmp_path):
    """`github(uses)` writes a workflow with a step that uses an action."""

    def write(uses: str):
        folder = tmp_path / "workflows"
        folder.mkdir(exist_ok=True)
        (folder / "release.yml").write_text(f"jobs:\n  a:\n    steps:\n      - uses: {uses}\n")
        return tmp_path

    return write


@pytest.fixture
def upload():
    path = stand_ins.FOLDER / "actions" / "upload-artifact" / "upload.py"
    spec = importlib.util.spec_from_file_location("upload_artifact", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.upload


def test_every_action_of_the_workflows_has_a_stand_in_and_every_stand_in_is_used():
    used = {name for name, _, _ in stand_ins.used(GITHUB)} - {stand_ins.CHECKOUT}
    assert used == {str(path.relative_to(stand_ins.FOLDER)) for path in ALL}


@pytest.mark.parametrize("folder", ALL, ids=lambda path: path.name)
def test_a_stand_in_takes_the_inputs_that_the_workflows_give(folder):
    action = yaml.safe_load((folder / "action.yml").read_text())
    assert action["name"] == f"Stand-in for {folder.relative_to(stand_ins.FOLDER)}"
    assert given(str(folder.relative_to(stand_ins.FOLDER))) <= action.get("inputs", {}).keys()


def given(name: str) -> set[str]:
    """Return the inputs that any step of the workflows and of our actions gives to an action."""
    files = [*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("actions/*/action.yml")]
    documents = [yaml.safe_load(file.read_text()) for file in files]
    jobs = [job for document in documents for job in document.get("jobs", {}).values()]
    steps = [step for part in (*jobs, *(one.get("runs", {}) for one in documents)) for step in part.get("steps", [])]
    return {key for step in steps if step.get("uses", "").startswith(f"{name}@") for key in step.get("with", {})}


def test_an_action_is_replaced_at_the_commit_that_the_workflow_names(github):
    [option] = stand_ins.options(github(f"actions/cache@{SHA} # v4.3.0"))
    assert option == f"--local-repository=actions/cache@{SHA}={stand_ins.FOLDER / 'actions' / 'cache'}"


def test_checkout_and_actions_of_this_repository_need_none(github):
    assert not list(stand_ins.options(github(f"actions/checkout@{SHA} # v5.0.0")))
    assert not list(stand_ins.options(github("./.github/actions/setup")))


def test_an_action_without_a_stand_in_is_named_with_what_to_write(github):
    with pytest.raises(
        ServiceError, match="some/thing has no stand-in: write tests/stand_in_actions/some/thing/action.yml"
    ):
        list(stand_ins.options(github(f"some/thing@{SHA} # v1")))


def test_a_folder_is_uploaded_without_its_own_name_and_files_below_their_common_folder(upload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out/release.json", "out/sbom/ship.json", "other/log.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    upload(tmp_path / "one", "error", ["out"])
    upload(tmp_path / "two", "error", ["out/release.json", "other/*.txt"])
    upload(tmp_path / "three", "error", ["out/release.json"])
    assert files(tmp_path / "one") == ["release.json", "sbom/ship.json"]
    assert files(tmp_path / "two") == ["other/log.txt", "out/release.json"]
    assert files(tmp_path / "three") == ["release.json"]


def test_an_upload_of_nothing_fails_only_where_the_workflow_says_so(upload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert upload(tmp_path / "one", "warn", ["nothing"]) == "no file matches nothing"
    with pytest.raises(SystemExit, match="no file matches nothing"):
        upload(tmp_path / "one", "error", ["nothing"])


def files(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
