"""Tables of inputs and outputs in the README of every module and environment: `python -m infra.terraform.tables`.

It writes them anew; with `--check` it writes nothing, and ends with 1 if one of them is out of date.

They come from the text of variables.tf and outputs.tf, not from a parsed value, so that types and defaults appear as
they are written. `terraform fmt` fixes the form that is read here: a block begins and ends in the first column, an
argument of it begins in the third. So this needs neither Terraform nor a parser of HCL.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"
NOT_DESCRIBED = {"examples", "tests", ".terraform"}  # folders without a README of their own
BLOCK = re.compile(r'^(variable|output) "([^"]+)" \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL)
ARGUMENT = re.compile(r"^  (\w+) += (.*(?:\n(?:    .*| {2}[\])}].*|$))*)", re.MULTILINE)
STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|#.*')
OPENING, CLOSING = ("{", "[", "("), ("}", "]", ")")


@dataclass(frozen=True)
class Block:
    """Variable or output: its name, and its arguments as they are written."""

    kind: str
    name: str
    arguments: dict[str, str]

    @property
    def description(self) -> str:
        """The description, on one line.

        Raises:
            SystemExit: there is none, or it is no string on one line.
        """
        written = self.arguments.get("description", "")
        if not re.fullmatch(r'"(?:\\.|[^"\\])+"', written):
            raise SystemExit(
                f"error: {self.kind} {self.name} has the description {written or 'none'}: "
                "write it as one string on one line."
            )
        return json.loads(written).replace("$${", "${").replace("\n", " ")


def read(path: Path) -> list[Block]:
    """Read the variables or outputs of a file, in its order; there are none in a file that is not there."""
    text = path.read_text() if path.exists() else ""
    return [Block(kind, name, dict(_arguments(body))) for kind, name, body in BLOCK.findall(text)]


def _arguments(body: str) -> Iterator[tuple[str, str]]:
    for name, written in ARGUMENT.findall(body):
        yield name, join_lines(written)


def join_lines(expression: str) -> str:
    """Join the lines of an expression, without comments, with commas where a line break separates attributes."""
    joined = ""
    for line in expression.splitlines():
        words = " ".join(STRING_OR_COMMENT.sub(lambda found: found[1] or "", line).split())
        if joined and words:
            attached = joined.endswith((*OPENING, ",")) or words.startswith(CLOSING)
            joined += " " if attached else ", "
        joined += words
    return re.sub(r",? \]", "]", joined.replace("[ ", "["))


def tables(folder: Path) -> str:
    """The tables of a folder's inputs and outputs, in Markdown."""
    inputs, outputs = read(folder / "variables.tf"), read(folder / "outputs.tf")
    parts = []
    if inputs:
        parts.append(_table("Inputs", ("input", "type", "default", "description"), map(_input_row, inputs)))
    if outputs:
        parts.append(_table("Outputs", ("output", "description"), map(_output_row, outputs)))
    return "\n".join(parts)


def _input_row(variable: Block) -> tuple[str, ...]:
    default = variable.arguments.get("default")
    kind = variable.arguments.get("type")
    if kind is None:
        raise SystemExit(f"error: variable {variable.name} has no type: give it one.")
    return (_code(variable.name), _code(kind), _code(default) if default else "required", variable.description)


def _output_row(output: Block) -> tuple[str, ...]:
    secret = output.arguments.get("sensitive") == "true"
    return (_code(output.name), output.description + (" Sensitive." if secret else ""))


def _code(text: str) -> str:
    return f"`{text}`"


def _table(title: str, columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)


def with_tables(readme: Path) -> str:
    """The text of a README, with the tables of its folder between the two markers.

    Raises:
        SystemExit: it is not there, or lacks the markers.
    """
    text = readme.read_text() if readme.exists() else ""
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: {readme} lacks the lines {BEGIN} and {END}: add them where the tables shall be.")
    return f"{before}{BEGIN}\n{tables(readme.parent)}{END}{after}"


def described_folders(root: Path) -> list[Path]:
    """List every module and environment below a folder: what has variables or outputs."""
    files = (path for name in ("variables.tf", "outputs.tf") for path in root.rglob(name))
    return sorted({path.parent for path in files if not NOT_DESCRIBED & {*path.relative_to(root).parts}})


def main(argv: Sequence[str], root: Path = FOLDER) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.terraform.tables", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and end with 1 if a table is out of date")
    check = parser.parse_args(argv).check
    readmes = [folder / "README.md" for folder in described_folders(root)]
    written = {readme: with_tables(readme) for readme in readmes}
    outdated = [readme for readme, text in written.items() if readme.read_text() != text]
    for readme in outdated:
        name = readme.relative_to(root)
        if check:
            sys.stderr.write(f"error: {name} is out of date: run python -m infra.terraform.tables\n")
        else:
            readme.write_text(written[readme])
            sys.stdout.write(f"{name} written\n")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
