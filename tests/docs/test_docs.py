"""The docs are correct: commands exist with their options, code runs, links work, generated pages are up to date."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from slipway.cli import COMMANDS, load_command
from slipway.config import UseCase
from slipway.config.yaml_document import YamlDocument
from slipway.contracts.bundle import manifest
from slipway.contracts.events.feedback_event import FEEDBACK_COLUMNS
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from tests.support import bundles

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDERS = ("bentos", "elk", "grafana", "infra", "usecases")
READMES = [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/README.md")]
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *READMES])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(slipway [^`]+|make [^`]+)`")
PLACEHOLDERS = {"…"}


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[list[str]]:
    """List every `slipway …` and `make …` of the page, split at spaces, without variables before and comments after."""
    found = INLINE.findall(page.read_text())
    for block in (*blocks(page, "bash"), *blocks(page, "console")):
        found += [line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines()]
    lines = [shlex.split(line, comments=True) for line in found if "|" not in line]
    cut = [words[next((i for i, word in enumerate(words) if "=" not in word), 0) :] for words in lines]
    return [words for words in cut if words and words[0] in ("slipway", "make") and len(words) > 1]


def links(page: Path) -> list[tuple[Path, str]]:
    """List the targets of the page's links to files, itself included: the file and the anchor."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)", text) if "://" not in target]
    split = [target.partition("#") for target in targets]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in split]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_in_code(page: Path) -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", page.read_text()))


def verbs() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "roadmap.md"], ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    for program, name, *rest in commands(page):
        if program == "make" and name == "-C":
            assert (ROOT / rest[0] / "Makefile").is_file(), f"make -C {rest[0]}"
        elif program == "make":
            assert name in verbs(), f"make {name}"
        elif not name.startswith("-"):
            assert name in COMMANDS, f"slipway {name}"
            known = {
                option
                for parameter in load_command(name).params
                for option in (*parameter.opts, *parameter.secondary_opts)
            }
            assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known, " ".join([name, *rest])


def test_the_roadmap_reserves_no_name_that_is_there():
    reserved = {name for program, name, *_ in commands(DOCS / "roadmap.md") if program == "slipway"}
    assert reserved.isdisjoint(COMMANDS)
    settings = set(re.findall(r"`(SLIPWAY_\w+)`", (DOCS / "roadmap.md").read_text()))
    assert settings and settings.isdisjoint(named_in_code(DOCS / "reference" / "settings.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_on_a_page_runs(page, tmp_path):
    found = blocks(page, "python")
    if found:
        bundles.write(tmp_path / "bundle", bundles.TABULAR)
    for code in found:
        exec(compile(code, str(page), "exec"), {"folder": tmp_path / "bundle"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {target.name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_table_describes_no_folder_and_no_setting_twice(page):
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE):
        rows = Counter(re.findall(r"^\| (`[^`]+/`|`SLIPWAY_\w+`) \|", table, re.MULTILINE))
        assert [row for row, times in rows.items() if times > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_counts_alerts_or_runbooks_which_are_added(page):
    number = r"(?:\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    assert re.findall(rf"(?i)\b{number} (?:alerts|runbooks)\b", page.read_text()) == []


def test_every_page_can_be_reached_from_the_readme():
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            left += [target for target, _ in links(page)]
    assert {page for page in PAGES if page.is_relative_to(DOCS)} <= reached


def test_pages_are_in_folders_by_kind():
    assert {page.name for page in DOCS.glob("*.md")} == {"index.md", "roadmap.md"}
    folders = {path.name for path in DOCS.iterdir() if any(path.glob("*.md"))}
    assert folders == {"tutorials", "how-to", "reference", "explanation", "runbooks", "decisions"}


def test_the_contracts_pages_name_every_file_and_every_field():
    bundle_page, event_page = (DOCS / "reference" / name for name in ("bundle.md", "prediction-event.md"))
    assert {*manifest.FILES, manifest.MANIFEST} <= named_in_code(bundle_page)
    assert {*PREDICTION_COLUMNS, *FEEDBACK_COLUMNS} <= named_in_code(event_page)


@pytest.fixture(scope="module")
def generated() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield runpy.run_path(str(DOCS / "generate_reference.py"))["pages"]()


@pytest.mark.parametrize("name", ["settings.md", "cli.md", "usecase-yaml.md", "http-api.md", "metrics.md"])
def test_the_generated_reference_is_that_of_the_code(generated, name):
    assert (DOCS / "reference" / name).read_text() == generated[name], "run: python docs/generate_reference.py"


def test_every_key_of_a_use_case_has_a_type_a_default_and_an_example_that_the_file_takes(generated):
    from reference_pages.fields import example, model_in

    def fields(model: type[BaseModel]) -> Iterator[FieldInfo]:
        for field in model.model_fields.values():
            if not field.exclude:
                yield field
                yield from fields(inner) if (inner := model_in(field.annotation)) else ()

    keys = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| `(.*?)` \| .+ \|$", generated["usecase-yaml.md"], re.MULTILINE)
    rows = re.findall(r"^\| `\w+` \|.*$", generated["usecase-yaml.md"], re.MULTILINE)
    assert len(keys) == len(rows) > 100
    assert all(YamlDocument(example, key).content.keys() == {key} for key, *_, example in keys)
    for field in fields(UseCase):
        value = example(field)
        assert value not in (None, "", [], {})
        TypeAdapter(Annotated[field.annotation, field, *field.metadata]).validate_python(value)


def test_make_help_lists_every_verb():
    output = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", output, re.MULTILINE)) == verbs()


def test_no_lock_file_names_an_index():
    locks = list((ROOT / "locks").glob("*.txt"))
    assert {lock.name for lock in locks} >= {"all.txt", "serving.txt", "uv.txt"}
    assert not [lock.name for lock in locks if re.search(r"https?://|--index|--find-links", lock.read_text())]


def test_a_clean_machine_runs_the_two_commands_of_the_readme():
    run = (ROOT / ".ci" / "run").read_text()
    assert "make lint\n" in run and "make test\n" in run
    assert "make demo" in run
