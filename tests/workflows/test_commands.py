"""Every command in the workflows exists, so a laptop runs what a job runs."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
import yaml

from slipway.cli import COMMANDS
from tests.workflows.documents import GITHUB, ROOT, Document, documents, parse, workflow

PROGRAMS = re.compile(r"(?:^|[\s(;|&])(make|\.ci/[\w-]+|slipway|\.venv/bin/[\w-]+)((?: +[^\s;|&)]+)*)", re.MULTILINE)


def called(document: Document) -> list[tuple[str, list[str]]]:
    """List the project's commands in the scripts, each with its arguments."""
    scripts = (re.sub(r"(?m)^\s*#.*$", "", script) for script in document.scripts())
    return [(program, rest.split()) for script in scripts for program, rest in PROGRAMS.findall(script)]


def missing(document: Document) -> list[str]:
    """List the commands that are not there."""
    return [" ".join([program, *rest]) for program, rest in called(document) if not _exists(program, rest)]


def _exists(program: str, rest: list[str]) -> bool:
    if program == "make":
        verbs = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return rest[0] in (*verbs, ".venv/.installed")
    if program == ".ci/without-empty":
        return (ROOT / program).is_file() and _exists(rest[0], rest[1:])
    if program.startswith(".ci/"):
        return os.access(ROOT / program, os.X_OK) and (program != ".ci/run" or set(rest) <= parts())
    if program == ".venv/bin/python" and rest[:2] == ["-m", "infra.delivery"]:
        return rest[2] in verbs_of_the_delivery()
    if program == ".venv/bin/python" and rest[0] == "-m":
        return importlib.util.find_spec(rest[1]) is not None
    return program in ("slipway", ".venv/bin/slipway") and rest[0] in COMMANDS


def parts() -> set[str]:
    return set(re.search(r'^PARTS="(.+)"$', (ROOT / ".ci" / "run").read_text(), re.MULTILINE)[1].split())


def verbs_of_the_delivery() -> set[str]:
    commands = ROOT / "infra" / "delivery" / "commands"
    return {path.stem for path in commands.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_every_command_of_a_workflow_exists(document):
    assert missing(document) == []


def test_commands_that_are_not_there_are_found():
    script = (
        "make imagez\n.ci/runn tests\n.ci/run lint test\nx=$(.ci/lint)\nslipway deploy\n.venv/bin/python -m infra.no\n"
        ".ci/without-empty make nothing"
    )
    bad = parse("bad.yml", yaml.safe_dump({"jobs": {"a": {"steps": [{"run": script}]}}}))
    assert missing(bad) == [*script.splitlines()[:3], ".ci/lint", *script.splitlines()[4:]]


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_scripts_of_workflows_are_short_and_call_what_a_laptop_has(document):
    for script in document.scripts():
        lines = [line for line in script.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= 12, script
    steps = [step for _, step in document.steps() if "run" in step]
    assert not steps or called(document), document.name


def test_every_test_is_in_one_shard():
    shards = [entry["tests"].split() for entry in workflow("ci").jobs["tests"]["strategy"]["matrix"]["include"]]
    folders = [Path(folder) for shard in shards for folder in shard]
    files = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    for file in files:
        assert sum(file.is_relative_to(folder) for folder in folders) == 1, file
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_every_part_of_the_run_has_a_job_but_the_rehearsal_of_these_workflows():
    scripts = "\n".join(workflow("ci").scripts())
    run = {part for line in re.findall(r"\.ci/run (.+)", scripts) for part in line.split()}
    assert run == parts() - {"rehearse"}


def test_local_actions_exist_and_get_the_inputs_that_they_declare():
    for document in documents():
        for place, step in document.steps():
            if not step.get("uses", "").startswith("./"):
                continue
            action = yaml.safe_load((GITHUB.parent / step["uses"] / "action.yml").read_text())
            inputs = action.get("inputs", {})
            required = {name for name, entry in inputs.items() if entry.get("required")}
            assert required <= set(step.get("with", {})) <= set(inputs), place


def test_what_a_step_reads_from_its_environment_is_given_to_it():
    """A script with `set -u` would end; one without would go on with nothing."""
    known = re.compile(r"GITHUB_\w+|RUNNER_\w+|PATH|HOME|PWD")
    for document in documents():
        for place, step in document.steps():
            script = step.get("run", "")
            job = document.jobs.get(place.partition(": ")[2], {})
            given = {*step.get("env", {}), *job.get("env", {}), *document.content.get("env", {})}
            given |= set(re.findall(r"^\s*(\w+)=", script, re.MULTILINE))
            read = set(re.findall(r"\$\{?([A-Za-z]\w*)", script))
            assert {name for name in read - given if not known.fullmatch(name)} == set(), place
