"""`slipway package`: what a Bento contains, and which bundles are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.images import checkout
from slipway.contracts.bundle import manifest as bundle
from slipway.system import files
from tests.bentos.images.conftest import package
from tests.support import bundles
from tests.support.servers import publish, unique_name


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package a Bento into a folder, with the command's output next to it."""
    folder = tmp_path_factory.mktemp("bento")
    bundles.write(folder / "bundle")
    ran = package(folder / "var", "loans", "--bundle", str(folder / "bundle"), "--json")
    assert ran.returncode == 0, ran.stderr
    (folder / "answer.json").write_text(ran.stdout)
    return folder


def answer(bento: Path) -> dict:
    return json.loads((bento / "answer.json").read_text())


def test_bentoml_lists_the_bento_with_its_labels(bento):
    env = os.environ | {"BENTOML_HOME": str(bento / "var" / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    argv = [sys.executable, "-m", "bentoml", "get", answer(bento)["bento"], "-o", "json"]
    labels = json.loads(subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout)["labels"]
    digest = files.file_sha256(bento / "bundle" / "manifest.json")
    assert labels["slipway.model"] == "loans"
    assert labels["slipway.version"] == digest[:12]
    assert labels["slipway.bundle_sha256"] == digest
    assert labels["slipway.contract"] == "1"
    assert len(labels["slipway.git_commit"].removesuffix("-dirty")) == 40


def test_it_contains_the_servers_part_of_the_bundle_completely_and_nothing_of_training(bento):
    packaged = Path(answer(bento)["directory"], "src", "packaged", "loans")
    bundle.verify(packaged, serving_only=True)
    found = {path.relative_to(packaged).as_posix() for path in packaged.rglob("*") if path.is_file()}
    assert found == {bundle.MANIFEST, *bundle.SERVER_FILES}


def test_it_contains_the_code_of_the_server_and_no_other_package(bento):
    source = Path(answer(bento)["directory"], "src")
    assert {path.name for path in source.iterdir()} == {"bentofile.yaml", "slipway", "bentos", "locks", "packaged"}
    assert not list(source.rglob("__pycache__"))


def test_every_name_of_a_use_case_has_a_bento_of_its_own():
    import bentoml

    from bentos.images.bento import bento_name

    names = ["credit_risk", "credit", "credit_", "credit__", "credit_1afc7b8e", "x" * 47, "x" * 48, "x" * 63, "x_" * 31]
    found = [bento_name(name) for name in names]
    assert len(set(found)) == len(names) and found[0] == "slipway-serving-credit-risk"
    assert [bentoml.Tag(name, "1").name for name in found] == found


def test_packaging_again_replaces_the_bento(bento):
    ran = package(bento / "var", "loans", "--bundle", str(bento / "bundle"), "--json")
    assert json.loads(ran.stdout)["bento"] == answer(bento)["bento"]


@pytest.mark.slow
def test_a_signature_and_the_registrys_number_go_along(tmp_path):
    found = bundles.put_in_store(tmp_path / "var", _bundle(tmp_path), "7")
    (found / "manifest.sig").write_bytes(b"signed")
    ran = package(tmp_path / "var", "loans", "--version", "7", "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["bento"] == "slipway-serving-loans:7"
    assert Path(result["directory"], "src", "packaged", "loans", "manifest.sig").read_bytes() == b"signed"


def test_the_champion_is_the_registrys_not_what_this_machine_served_last(tmp_path, mlflow_server, monkeypatch, cli):
    name = unique_name("loans")
    schema = bundles.msgspec.structs.replace(bundles.TABULAR, usecase=name)
    monkeypatch.setitem(bundles.ROWS, name, bundles.ROWS["loans"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    bundles.promote(tmp_path / "var", tmp_path / "served", schema, "8")
    bundles.write(tmp_path / "registered", schema, bias=0.5)
    number = publish(mlflow_server, name, tmp_path / "registered")
    before = cli("package", name)
    assert before.code == 1 and "has no champion yet" in before.err
    assert cli("promote", name, number).code == 0
    result = json.loads(cli("package", name, "--json").out)
    assert result["labels"]["slipway.version"] == number
    assert result["labels"]["slipway.bundle_sha256"] == files.file_sha256(tmp_path / "registered" / "manifest.json")


def test_a_bundle_whose_gate_failed_is_refused(tmp_path, cli):
    assert "its gates failed: ROC AUC is 0.6" in refused(cli, _bundle(tmp_path, passed=False))


def test_a_bundle_whose_outputs_differ_from_its_probe_is_refused(tmp_path, cli):
    assert "it is not that network" in refused(cli, _bundle(tmp_path, probe_shift=0.5))


def test_a_changed_file_is_refused(tmp_path, cli):
    folder = _bundle(tmp_path)
    (folder / "serve" / "serving.json").write_text("{}")
    assert "is not what was registered" in refused(cli, folder)


def test_a_bundle_of_another_contract_version_is_refused(tmp_path, cli):
    folder = _bundle(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"contract": 9}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "contract version 9; this release reads [1]" in refused(cli, folder)


def test_a_bundle_of_another_use_case_is_refused(tmp_path, cli):
    assert "is of the use case loans, not of prices" in refused(cli, _bundle(tmp_path), name="prices")


def test_the_origin_of_the_code_is_labelled_without_the_password(tmp_path):
    for command in ("init --quiet", "remote add origin https://bot:secret@example.com/team/slipway.git"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    assert checkout.origin(tmp_path) == "https://example.com/team/slipway.git"
    assert checkout.commit(tmp_path) == "unknown"


def test_without_docker_it_fails_before_anything_is_built(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = cli("package", "loans", "--bundle", str(tmp_path), "--containerize")
    assert ran.code == 1 and "there is no `docker` on PATH" in ran.err


def test_an_engine_that_does_not_answer_is_named(cli, tmp_path, monkeypatch, needs):
    needs("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    ran = cli("package", "loans", "--bundle", str(tmp_path), "--containerize")
    assert ran.code == 1 and "engine does not respond" in ran.err and "no.sock" in ran.err


def _bundle(folder: Path, **options: object) -> Path:
    bundles.write(folder / "bundle", **options)
    return folder / "bundle"


def refused(cli, found: Path, name: str = "loans") -> str:
    """Return the error of a refused packaging, which leaves no Bento."""
    ran = cli("package", name, "--bundle", str(found))
    assert ran.code == 1, ran.out
    assert not list(found.parent.rglob("bento.yaml"))
    return ran.err
