"""Every Terraform module: its files, its validations, its example, and its own tests, which need no AWS account."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.terraform import tables
from tests.infra.terraform.modules import MODULES, MODULES_FOLDER, ROOT, text_of_tests

pytestmark = pytest.mark.timeout(900)  # half a minute alone, of which each run of Terraform starts the provider anew

FILES = {"README.md", "main.tf", "outputs.tf", "variables.tf", "versions.tf"}
LEFT_BY_TERRAFORM = ".terraform*"
EXAMPLES = [f"{module}/examples/basic" for module in MODULES]


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> Path:
    """Copy the modules to a folder in which Terraform may leave files, with the rules of Prometheus that one reads."""
    root = tmp_path_factory.mktemp("repository")
    (root / "monitoring").mkdir()
    (root / "monitoring" / "prometheus").symlink_to(ROOT / "monitoring" / "prometheus")
    copy = root / MODULES_FOLDER.relative_to(ROOT)
    return shutil.copytree(MODULES_FOLDER, copy, ignore=shutil.ignore_patterns(LEFT_BY_TERRAFORM))


@pytest.fixture(scope="module")
def terraform(needs, tmp_path_factory) -> Callable[..., str]:
    """`terraform(folder, "validate")` runs a command there, and returns its output, or fails with it.

    The provider, of some 700 MB, is fetched once for all modules.
    """
    program = needs("terraform")
    environment = os.environ | {
        "CHECKPOINT_DISABLE": "1",  # asks nobody for a newer version
        "TF_IN_AUTOMATION": "1",
        "TF_PLUGIN_CACHE_DIR": str(tmp_path_factory.mktemp("providers")),
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",  # modules have none: who calls them locks the provider
    }

    def run(folder: Path, *arguments: str) -> str:
        argv = [program, *arguments, "-no-color"]
        ran = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"terraform {' '.join(arguments)} in {folder}:\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    return run


@pytest.fixture
def initialized(modules, terraform) -> Callable[[str], Path]:
    """`initialized("network")` is the folder of a module or an example after `terraform init`."""

    def init(name: str) -> Path:
        folder = modules / name
        if not (folder / ".terraform").exists():
            terraform(folder, "init", "-input=false")
        return folder

    return init


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_same_files_as_the_others(module):
    shown = [path for path in (MODULES_FOLDER / module).iterdir() if not path.match(LEFT_BY_TERRAFORM)]
    assert {path.name for path in shown} == FILES | {"examples", "tests"}
    assert (MODULES_FOLDER / module / "examples" / "basic" / "main.tf").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_all_modules_need_the_same_versions(module):
    versions = [MODULES_FOLDER / name / "versions.tf" for name in (module, "network")]
    assert len({path.read_text() for path in versions}) == 1


@pytest.mark.parametrize("module", MODULES)
def test_the_text_of_tests_a_module_need_no_account(module):
    assert 'mock_provider "aws"' in text_of_tests(module)


@pytest.mark.parametrize("module", MODULES)
def test_each_validation_of_a_variable_refuses_a_value_in_a_test(module):
    text = (MODULES_FOLDER / module / "variables.tf").read_text()
    validations = {name: len(re.findall(r"^  validation \{$", body, re.MULTILINE)) for _, name, body in blocks(text)}
    refused = Counter(re.findall(r"^  expect_failures = \[var\.(\w+)\]$", text_of_tests(module), re.MULTILINE))
    assert {name: count for name, count in validations.items() if refused[name] < count} == {}


def blocks(text: str) -> list[tuple[str, str, str]]:
    return tables.BLOCK.findall(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted([*MODULES, *EXAMPLES]))
def test_a_module_and_its_example_are_valid(name, initialized, terraform):
    assert "The configuration is valid" in terraform(initialized(name), "validate")


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_module_passes_its_own_tests(module, initialized, terraform):
    passed = re.search(r"^Success! (\d+) passed, 0 failed\.$", terraform(initialized(module), "test"), re.MULTILINE)
    assert passed and int(passed[1]) == len(re.findall(r'^run "', text_of_tests(module), re.MULTILINE))
