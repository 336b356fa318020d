"""What every workflow keeps to, so that neither a fork, an action of others nor a second run can do harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.workflows.documents import EXPRESSION, Document

PINNED = re.compile(r"uses: ([\w.-]+(?:/[\w.-]+)+)@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
LONGEST = 360  # minutes, after which GitHub ends a job itself
HARDENS = "step-security/harden-runner"
DANGEROUS = {"pull_request_target", "workflow_run", "issue_comment"}  # run with secrets on what anybody wrote


def problems(document: Document) -> list[str]:
    """Return a sentence for each rule that is broken."""
    found = [*_pins(document), *_scripts(document), *_checkouts(document)]
    if document.jobs:
        found += [*_workflow(document), *(line for job in document.jobs for line in _job(document, job))]
    return found


def _pins(document: Document) -> Iterator[str]:
    for line in document.text.splitlines():
        if "uses:" in line and "uses: ./" not in line and not PINNED.search(line):
            yield f"{document.name}: pin by the full SHA, with the version beside it: {line.strip()}"


def _scripts(document: Document) -> Iterator[str]:
    for place, step in document.steps():
        if EXPRESSION.search(step.get("run", "")):
            yield f"{place}: an expression inside a script; give it by env"


def _checkouts(document: Document) -> Iterator[str]:
    for place, step in document.steps():
        keeps = step.get("with", {}).get("persist-credentials") is not False
        if step.get("uses", "").startswith("actions/checkout@") and keeps:
            yield f"{place}: the checkout keeps the token; persist-credentials: false"


def _workflow(document: Document) -> Iterator[str]:
    if document.content.get("permissions") != {}:
        yield f"{document.name}: permissions: {{}} at the top; each job asks for its own"
    if found := DANGEROUS & set(document.triggers):
        yield f"{document.name}: trigger {', '.join(sorted(found))}"
    yield from _concurrency(document.name, document.content)


def _job(document: Document, job: str) -> Iterator[str]:
    content, place = document.jobs[job], f"{document.name}: {job}"
    minutes = content.get("timeout-minutes")
    if not isinstance(minutes, int) or minutes > LONGEST:
        yield f"{place}: timeout-minutes, at most {LONGEST}"
    if "permissions" not in content:
        yield f"{place}: no permissions of its own"
    if "environment" in content:
        yield from _concurrency(place, content)
    steps = content.get("steps", [])
    if not steps or not steps[0].get("uses", "").startswith(f"{HARDENS}@"):
        yield f"{place}: the first step is {HARDENS}"


def _concurrency(place: str, content: dict[str, Any]) -> Iterator[str]:
    """Only a run for a pull request may be cancelled, since nothing is deployed by one."""
    found = content.get("concurrency")
    if not isinstance(found, dict) or not found.get("group"):
        yield f"{place}: no concurrency group"
    elif found.get("cancel-in-progress") not in (False, "${{ github.event_name == 'pull_request' }}"):
        yield f"{place}: cancel-in-progress must be false, or true for pull requests alone"
