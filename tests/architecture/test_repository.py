"""Files that somebody else reads: who reviews what, how a vulnerability is reported, how tests are distributed."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

import slipway
from tests.support.distribution import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
OWNERS = {line.split()[0]: line.split()[1:] for line in LINES if line and not line.startswith("#")}
POLICY = (ROOT / "SECURITY.md").read_text()


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return ["/" + path for path in listed.stdout.splitlines()]


@pytest.mark.parametrize("pattern", OWNERS)
def test_each_line_of_codeowners_names_an_owner_and_files_that_there_are(pattern):
    assert OWNERS[pattern] and all(re.fullmatch(r"@[\w-]+(/[\w-]+)?", owner) for owner in OWNERS[pattern])
    assert fnmatch.filter(tracked(), pattern + "*" if pattern.endswith("/") else pattern)


def test_every_file_has_an_owner():
    assert next(iter(OWNERS)) == "*"


@pytest.mark.parametrize(
    "path", ["bentos/auth", "infra", "locks", ".ci", ".github", "SECURITY.md", "slipway/contracts/bundle"]
)
def test_what_lets_people_and_programs_in_is_reviewed_by_the_owners_of_security(path):
    assert [owners for pattern, owners in OWNERS.items() if pattern.strip("/") == path] == [["@slipway/security"]]


def test_the_security_policy_says_how_to_report_what_is_supported_and_what_is_in_scope():
    headings = re.findall(r"^## (.+)$", POLICY, re.MULTILINE)
    assert headings == ["Report a vulnerability", "Supported versions", "Scope", "Threat model"]
    assert "in private" in POLICY.partition("## Supported versions")[0]


def test_the_newest_release_is_the_supported_version():
    assert f"the newest release ({slipway.__version__.rpartition('.')[0]})" in POLICY


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_test_files_that_one_worker_runs_for_their_library_are_there(library):
    assert [file for file in LIBRARIES[library] if f"/tests/{file}" not in tracked()] == []
