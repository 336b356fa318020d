"""Log of act, one JSON document a line: the jobs of a run with their steps, results, durations and summaries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SUCCESS, FAILURE = "success", "failure"
_SECOND = 1e9  # act counts nanoseconds
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r(?!\n)")  # act gives steps a terminal, which they color


@dataclass(frozen=True)
class StepRun:
    """A step that ran; one that was skipped is not in the log."""

    name: str
    result: str
    seconds: float


@dataclass
class JobRun:
    """A job that ran; `result` is empty while it runs, `lines` is what its steps printed."""

    id: str
    name: str
    result: str = ""
    seconds: float = 0.0
    steps: list[StepRun] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything that its steps printed."""
        return "\n".join(self.lines)

    @property
    def failed_step(self) -> str:
        """Name of the step that failed; empty if none did."""
        return next((step.name for step in self.steps if step.result == FAILURE), "")

    @property
    def reason(self) -> str:
        """The last line that reports an error, else the last line at all."""
        said = [line.strip() for line in self.lines if line.strip()]
        errors = [line for line in said if line.lower().startswith(("error", "::error"))]
        return (errors or said or [""])[-1]


def read(lines: Iterable[str]) -> list[JobRun]:
    """Read the jobs in the order in which they began; lines that are no JSON document are left out."""
    jobs: dict[str, JobRun] = {}
    began: dict[str, datetime] = {}
    for entry in _entries(lines):
        if "jobID" not in entry:
            continue
        name, at = entry["job"].strip(), datetime.fromisoformat(entry["time"])
        job = jobs.setdefault(name, JobRun(entry["jobID"], name))
        job.seconds = (at - began.setdefault(name, at)).total_seconds()
        _add(job, entry)
    return list(jobs.values())


def job_of(line: bytes) -> str:
    """Return the id of the job that a line is of; empty if it is of none."""
    entry = next(iter(_entries([line.decode(errors="replace")])), {})
    return entry.get("jobID", "")


def _entries(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _add(job: JobRun, entry: dict[str, Any]) -> None:
    job.result = entry.get("jobResult", job.result)
    if entry.get("raw_output"):
        job.lines += _TERMINAL.sub("", entry["msg"]).splitlines()
    elif entry.get("command") == "error":
        job.lines.append(f"::error::{entry['arg']}")
    elif entry.get("command") == "summary":
        job.summaries.append(entry["content"])
    elif "executionTime" in entry and _is_own_step(entry):
        job.steps.append(StepRun(entry["step"], entry["stepResult"], entry["executionTime"] / _SECOND))


def _is_own_step(entry: dict[str, Any]) -> bool:
    """Tell a step of the job from those within an action, and from what an action does before or after the job."""
    return len(entry.get("stepID", ())) == 1 and entry.get("stage") == "Main"
