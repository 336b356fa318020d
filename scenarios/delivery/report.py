"""Report of the rehearsal, for people and for the docs: every job with its steps, durations and result."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scenarios.delivery import stand_ins
from scenarios.delivery.act_log import FAILURE, JobRun
from scenarios.delivery.runner import WorkflowRun
from scenarios.harness.checks import Check
from scenarios.harness.pages import write_between

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "delivery.md"
BEGIN, END = "<!-- rehearsed: begin (make rehearse writes this part) -->", "<!-- rehearsed: end -->"
SHOWN_SECONDS = 1.0  # shorter steps only set up
_DIGEST = re.compile(r"(?<=sha256:)([0-9a-f]{12})[0-9a-f]{52}")


def all_lines(runs: Sequence[WorkflowRun], checks: Sequence[Check], seconds: float) -> list[str]:
    """Format the whole report: what was checked, what ran, and what stood in for actions of other repositories."""
    parts = {
        "Checks": check_lines(checks),
        "Jobs": job_lines(runs),
        "Stand-ins": stand_in_lines(stand_ins.meanings(stand_ins.ROOT / ".github")),
    }
    lines = [f"It took {seconds / 60:.0f} minutes on {len(os.sched_getaffinity(0))} cores."]
    for title, part in parts.items():
        lines += ["", f"### {title}", "", *part]
    return lines


def job_lines(runs: Sequence[WorkflowRun]) -> list[str]:
    """Format the jobs as a table: a row for each."""
    head = [
        f"Steps of less than {SHOWN_SECONDS:.0f} s are left out.",
        "",
        "| push | workflow | job | result | seconds | steps, in seconds |",
        "| --- | --- | --- | --- | ---: | --- |",
    ]
    return head + [_row(run, job) for run in runs for job in run.jobs]


def check_lines(checks: Sequence[Check]) -> list[str]:
    """Format the checks as a table."""
    head = ["| push | checked | held | observed |", "| --- | --- | --- | --- |"]
    return head + [
        f"| {check.subject} | {check.what} | {'yes' if check.held else '**no**'} | {_cell(check.observed)} |"
        for check in checks
    ]


def stand_in_lines(meanings: Mapping[str, str]) -> list[str]:
    """Format the stand-ins as a table: the action, and what stood in for it."""
    head = ["| action | what stood in for it |", "| --- | --- |"]
    return head + [f"| `{name}` | {_cell(meaning)} |" for name, meaning in meanings.items()]


def write(lines: Sequence[str], page: Path = PAGE) -> None:
    """Put the lines between the two markers of the page."""
    write_between(page, BEGIN, END, lines)


def _row(run: WorkflowRun, job: JobRun) -> str:
    steps = ", ".join(f"{_cell(step.name)} {step.seconds:.0f}" for step in job.steps if step.seconds >= SHOWN_SECONDS)
    result = "failed" if job.result == FAILURE else "succeeded"  # for what reason, the checks say
    return f"| {run.push.subject} | {run.workflow} | {job.id} | {result} | {job.seconds:.0f} | {steps} |"


def _cell(text: str) -> str:
    """Make a text fit a cell: its first line, without what ends a cell or begins HTML, and paths of this machine."""
    first = (text.strip().splitlines() or [""])[0].replace(f"{ROOT}/", "")
    return _DIGEST.sub(r"\1…", first).replace("|", "\\|").replace("<", "&lt;")
