"""docs/how-to/deliver-a-change.md: its commands exist with their options, and its messages are those of the code."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import typing
from pathlib import Path

import pytest

from infra.delivery.__main__ import VERBS
from infra.delivery.changed_parts import RELEASED
from infra.delivery.program import ROOT

PAGE = (ROOT / "docs" / "how-to" / "deliver-a-change.md").read_text()
CODE = "\n".join(path.read_text() for path in Path(ROOT / "infra" / "delivery").rglob("*.py"))
COMMANDS = re.findall(r"^python -m infra\.delivery (.*)$", PAGE, re.MULTILINE)


def options(verb: str) -> set[str]:
    """List the options of a verb: those that it names, and its parameters' own names."""
    command = importlib.import_module(f"infra.delivery.commands.{verb}").command
    hints = typing.get_type_hints(command, include_extras=True)
    named = {
        name
        for hint in hints.values()
        for one in typing.get_args(hint)[1:]
        for name in getattr(one, "param_decls", None) or ()
    }
    return named | {f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters}


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_of_the_page_is_a_verb_with_its_options(line):
    verb, *rest = shlex.split(line, comments=True)
    assert verb in VERBS
    assert {word for word in rest if word.startswith("--")} <= options(verb)


def test_the_page_shows_each_verb():
    assert {line.split()[0] for line in COMMANDS} == VERBS.keys()


def test_the_page_lists_what_is_released():
    table = next(line for line in PAGE.splitlines() if line.startswith("| `slipway/`"))
    listed = {*re.findall(r"`([^`]+)`", table.split("|")[1]), "usecases/", ".dockerignore"}
    assert listed == set(RELEASED)


@pytest.mark.parametrize("message", re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## Errors")[2], re.MULTILINE))
def test_each_message_of_the_page_is_one_of_the_code(message):
    source = re.sub(r'"\s*\n\s*f?"', "", CODE)
    for part in filter(None, (part.strip(" ,") for part in message.removeprefix("Meaning: ").split("…"))):
        name, _, rest = part.partition(" ")
        assert part in source or (name.isupper() and rest in source), part
