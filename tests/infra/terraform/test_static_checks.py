"""All of infra/terraform: formatted, of one provider, with tables up to date; tflint and checkov find nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.terraform import tables
from tests.infra.terraform.modules import FOLDER, MODULES, MODULES_FOLDER

pytestmark = pytest.mark.timeout(900)  # checkov takes a minute alone

NOT_OURS = ".terraform"
FILES = sorted(path for path in FOLDER.rglob("*.tf") if NOT_OURS not in path.parts)
FOLDERS = sorted({str(path.parent.relative_to(FOLDER)) for path in FILES})
EXCEPTION = re.compile(r"#\s*checkov:skip=(\w+)(.*)")


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def exceptions() -> Iterator[tuple[str, str, str]]:
    """Yield the file, the check and the text after it of each exception from checkov."""
    for path in FILES:
        for check, reason in EXCEPTION.findall(path.read_text()):
            yield f"/{name(path)}", check, reason


def test_everything_is_formatted(needs):
    argv = [needs("terraform"), "fmt", "-check", "-diff", "-recursive", "-no-color", FOLDER]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_provider_but_that_of_aws_is_used(path):
    sources = set(re.findall(r'^\s*source\s*=\s*"([^"]+)"', path.read_text(), re.MULTILINE))
    assert {source for source in sources if not source.startswith(".")} <= {"hashicorp/aws"}


def test_the_tables_are_up_to_date(capsys):
    assert tables.main(["--check"]) == 0, capsys.readouterr().err
    assert {MODULES_FOLDER / module for module in MODULES} <= set(tables.described_folders(FOLDER))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_tflint_finds_nothing(folder, needs):
    argv = [needs("tflint"), f"--chdir={FOLDER / folder}", f"--config={FOLDER / '.tflint.hcl'}", "--format=compact"]
    if "examples" in folder:  # one file is easier to read
        argv.append("--disable-rule=terraform_standard_module_structure")
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def checked(needs) -> dict[str, list[dict]]:
    """Return what checkov says about everything: the checks that passed, that failed, and that exceptions skip."""
    argv = [needs("checkov"), "--directory", ".", "--config-file", ".checkov.yaml", "--output=json", "--soft-fail"]
    patient = os.environ | {"HCL_PARSE_TIMEOUT_SEC": "300"}  # after 10 s it leaves a file out, on a busy machine
    ran = subprocess.run(argv, cwd=FOLDER, env=patient, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)["results"]


@pytest.mark.slow
def test_checkov_finds_nothing(checked):
    assert len(checked["passed_checks"]) > 100
    found = [
        f"{one['file_path']} {one['resource']}: {one['check_id']} {one['check_name']}"
        for one in checked["failed_checks"]
    ]
    assert found == []


@pytest.mark.slow
def test_checkov_parses_every_file(checked):
    assert checked["parsing_errors"] == []


def test_each_exception_from_checkov_gives_its_reason():
    assert [found for found in exceptions() if not re.fullmatch(r": \S.{15,}", found[2])] == []


@pytest.mark.slow
def test_each_exception_from_checkov_is_needed(checked):
    used = {(one["file_path"], one["check_id"]) for one in checked["skipped_checks"]}
    assert {(path, check) for path, check, _ in exceptions()} - used == set()
