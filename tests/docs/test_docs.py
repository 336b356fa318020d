"""What the docs say can be typed, can be: commands exist with their options, code runs, tables name what there is."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

from slipway import bundle
from slipway.cli import COMMANDS, load
from slipway.events import FEEDBACK_COLUMNS, PREDICTION_COLUMNS
from tests import bundles

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("infra/**/README.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(slipway [^`]+|make [^`]+)`")
PLACEHOLDERS = {"…"}


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[list[str]]:
    """Every `slipway …` and `make …` that the page shows, as words; variables before and comments after it left out."""
    found = INLINE.findall(page.read_text())
    for block in (*blocks(page, "bash"), *blocks(page, "console")):
        found += [line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines()]
    lines = [shlex.split(line, comments=True) for line in found if "|" not in line]
    cut = [words[next((i for i, word in enumerate(words) if "=" not in word), 0) :] for words in lines]
    return [words for words in cut if words and words[0] in ("slipway", "make") and len(words) > 1]


def verbs() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "roadmap.md"], ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    for program, name, *rest in commands(page):
        if program == "make":
            assert name in verbs(), f"make {name}"
        elif not name.startswith("-"):
            assert name in COMMANDS, f"slipway {name}"
            known = {
                option for parameter in load(name).params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known, " ".join([name, *rest])


def test_the_roadmap_reserves_no_name_that_is_there():
    reserved = {name for program, name, *_ in commands(ROOT / "docs" / "roadmap.md") if program == "slipway"}
    assert reserved.isdisjoint(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_on_a_page_runs(page, tmp_path):
    bundles.write(tmp_path / "bundle", bundles.TABULAR)
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), {"folder": tmp_path / "bundle"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_the_contracts_page_names_every_file_and_every_field():
    text = (ROOT / "docs" / "contracts.md").read_text()
    named = set(re.findall(r"`([^`\s]+)`", text))
    assert {*bundle.FILES, bundle.MANIFEST} <= named
    assert {*PREDICTION_COLUMNS, *FEEDBACK_COLUMNS} <= named


def test_the_configuration_page_is_that_of_the_settings_class():
    page = runpy.run_path(str(ROOT / "docs" / "configuration.py"))["page"]()
    assert (ROOT / "docs" / "configuration.md").read_text() == page, "run: python docs/configuration.py"


def test_make_help_lists_every_verb():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", said, re.MULTILINE)) == verbs()


def test_no_lock_file_names_an_index():
    locks = list((ROOT / "locks").glob("*.txt"))
    assert {lock.name for lock in locks} >= {"all.txt", "serving.txt", "uv.txt"}
    assert not [lock.name for lock in locks if re.search(r"https?://|--index|--find-links", lock.read_text())]


def test_a_clean_machine_runs_the_two_commands_of_the_readme():
    run = (ROOT / ".ci" / "run").read_text()
    assert "make lint\n" in run and "make test\n" in run
    assert "make demo" in run
