"""Exceptions from the linter's rules: each is needed, and the lines above it or beside it say why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
SETTINGS = tomllib.loads(PYPROJECT)["tool"]["ruff"]["lint"]
EXCEPTIONS = SETTINGS["per-file-ignores"]


def ruff(*arguments: str, given: str | None = None) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", *arguments]
    return subprocess.run(command, input=given, cwd=ROOT, capture_output=True, text=True).stdout


def files(pattern: str) -> list[str]:
    """List the files of a pattern, whose braces Python does not know."""
    if braces := re.search(r"\{([^}]*)\}", pattern):
        return [path for one in braces[1].split(",") for path in files(pattern.replace(braces[0], one))]
    return [str(path.relative_to(ROOT)) for path in ROOT.glob(pattern.replace("/**", "/**/*.py"))]


def test_the_rules_about_security_are_on_and_none_is_off_everywhere():
    assert "S" in SETTINGS["select"]
    assert not [rule for rule in SETTINGS["ignore"] if re.fullmatch(r"S\d*", rule)]


@pytest.mark.parametrize("pattern", EXCEPTIONS)
def test_each_exception_is_needed(pattern):
    rules = EXCEPTIONS[pattern]
    found = ruff("--isolated", "--ignore-noqa", "--output-format=json", f"--select={','.join(rules)}", *files(pattern))
    assert {entry["code"] for entry in json.loads(found)} == set(rules)


def test_each_group_of_exceptions_says_why():
    _, _, section = PYPROJECT.partition("[tool.ruff.lint.per-file-ignores]")
    section, _, _ = section.partition("\n[")
    assert re.match(r".*\n# ", section), "the first exception has no reason"
    for line in section.splitlines()[1:]:
        assert line == "" or re.match(r'# \w|"', line), line


def test_each_exception_in_the_code_says_why():
    """The rules are written as `# noqa: S104, why`."""
    listed = subprocess.run(
        ["git", "grep", "-hE", "noqa: .*S[0-9]{3}", "--", "*.py"], cwd=ROOT, capture_output=True, text=True
    )
    silent = [line for line in listed.stdout.splitlines() if re.search(r"noqa: [A-Z0-9, ]*$", line)]
    assert silent == []


def test_a_program_that_goes_through_a_shell_is_refused():
    code = 'import subprocess\nsubprocess.run("ls " + input(), shell=True)\n'
    found = ruff("--output-format=concise", "--stdin-filename=slipway/commands/up.py", "-", given=code)
    assert "S602" in found and "S603" not in found
