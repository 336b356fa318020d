"""The linters of workflows report nothing: actionlint, zizmor and, for each script, shellcheck."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.workflows.documents import GITHUB, ROOT, documents


def test_actionlint_reports_nothing(needs):
    shellcheck = needs("shellcheck")
    checked = subprocess.run(
        [needs("actionlint"), "-no-color", "-shellcheck", shellcheck], cwd=ROOT, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_zizmor_reports_nothing_however_pedantic(needs):
    checked = subprocess.run(
        [needs("zizmor"), "--offline", "--pedantic", "--no-progress", "--strict-collection", GITHUB],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No findings to report" in checked.stdout


def test_each_exception_of_zizmor_says_why():
    lines = (GITHUB / "zizmor.yml").read_text().splitlines()
    exceptions = [line for line in lines if "disable:" in line or "ignore:" in line]
    rules = yaml.safe_load("\n".join(lines))["rules"]
    assert len(exceptions) == len(rules)
    assert all(line.partition(" # ")[2].strip() for line in exceptions)


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_shellcheck_reports_nothing_in_any_script(document, needs):
    """Actionlint leaves out the scripts of composite actions."""
    for script in document.scripts():
        checked = subprocess.run(
            [needs("shellcheck"), "--shell=bash", "-"], input=script, capture_output=True, text=True
        )
        assert checked.returncode == 0, f"{script}\n{checked.stdout}"
