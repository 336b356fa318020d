"""Check: what is claimed of a GPU, whether it held, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HELD, NOT_HELD, NOT_RUN = "held", "not held", "not run"


class Check(NamedTuple):
    """A row of the table; `detail` is what was measured, or the reason why the check was not run."""

    name: str
    verdict: str
    detail: str

    @property
    def row(self) -> str:
        """Format the check as a row of the Markdown table."""
        verdict = self.verdict if self.verdict == HELD else f"**{self.verdict}**"
        return f"| {self.name} | {verdict} | {self.detail.replace('|', '/')} |"


def judge(name: str, holds: bool, detail: str) -> Check:
    """Return a check that was run."""
    return Check(name, HELD if holds else NOT_HELD, detail)


def judge_on_gpu(device: str, name: str, holds: bool, detail: str) -> Check:
    """Return a check that says nothing where the CPU stood in for a GPU: there it only shows that the code runs."""
    if device == "cpu":
        return Check(name, NOT_RUN, f"there is no GPU; on the CPU: {detail}")
    return judge(name, holds, detail)


def table(checks: Iterable[Check]) -> list[str]:
    """Format the checks as a Markdown table."""
    return ["| check | verdict | measured, or why not |", "| --- | --- | --- |", *(check.row for check in checks)]


def append(path: Path, check: Check) -> None:
    """Add a check to a file of results, a line each, so that those of a process that dies are not lost."""
    with path.open("a") as file:
        file.write(json.dumps(check) + "\n")


def read(path: Path) -> list[Check]:
    """Read a file of results; there are none without a file."""
    return [Check(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
