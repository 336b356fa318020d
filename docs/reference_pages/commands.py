"""Page of the command line: a section for each command, from its typer definition."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from reference_pages.markdown import code, table
from slipway.cli import COMMANDS, load_command

WIDTH = 120
HEAD = """# Command line

Every command prints its part of this page with `--help`. It exits with 0 only on success, with 1 after `error: …` on
standard error, with 2 for wrong usage, and in a container with 78 if its settings are wrong. `--json` prints the result
as one JSON document on standard output; progress goes to standard error.
"""


def page() -> str:
    return HEAD + "".join(map(_command, COMMANDS))


def _command(name: str) -> str:
    command = load_command(name)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["slipway", name, *(each.make_metavar(None).strip("{}") for each in arguments), "[OPTIONS]"])
    tables = [_parameters(kind, found) for kind, found in (("argument", arguments), ("option", options)) if found]
    return f"\n## {name}\n\n```text\n{usage}\n```\n\n{_prose(command.help)}\n" + "".join(tables)


def _parameters(kind: str, found: Sequence[Any]) -> str:
    return "\n" + table([kind, "default", "meaning"], map(_row, found))


def _row(parameter: Any) -> list[str]:
    """A default that depends on the settings is in the help text: `Port to bind to.  [default: 3000]`."""
    meaning, _, stated = parameter.help.removesuffix("]").partition("  [default: ")
    return [_parameter(parameter), code(stated) or _given(parameter.default), meaning + _range(parameter.type)]


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.make_metavar(None).strip("{}"))
    names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} {code(parameter.metavar or _kind(parameter.type))}"


def _kind(type_: Any) -> str:
    choices = getattr(type_, "choices", None)
    return "|".join(map(str, choices)) if choices else str(type_.name).split()[0].upper()


def _given(default: Any) -> str:
    return "" if default in (None, False, "") else code(str(default))


def _range(type_: Any) -> str:
    bounds = {"at least": getattr(type_, "min", None), "at most": getattr(type_, "max", None)}
    words = [f"{word} {value:g}" for word, value in bounds.items() if value is not None]
    return f" ({', '.join(words)})" if words else ""


def _prose(text: str) -> str:
    """A docstring as Markdown, without its indentation."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(textwrap.fill(" ".join(paragraph.split()), WIDTH) for paragraph in paragraphs)
