"""GitHub Actions: a job's outputs and summary, and who runs it. On a laptop there is no job, and nothing is written."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

WORKFLOW = ".github/workflows/release.yml"
ISSUER = "https://token.actions.githubusercontent.com"


def write_output(name: str, value: str) -> None:
    """Set an output of the step, a line of text."""
    _append("GITHUB_OUTPUT", f"{name}={value}\n")


def add_summary(markdown: str) -> None:
    """Add to the summary of the job."""
    _append("GITHUB_STEP_SUMMARY", f"{markdown}\n")


def run_name(environment: Mapping[str, str] = os.environ) -> str:
    """Name this workflow run, the same when it is run again; on a laptop, the person and the machine.

    >>> run_name({"GITHUB_REPOSITORY": "example/slipway", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"})
    'example/slipway run 7'
    """
    if number := environment.get("GITHUB_RUN_ID"):
        return f"{environment.get('GITHUB_REPOSITORY', 'a repository')} run {number}"
    return f"{getpass.getuser()}@{socket.gethostname()}"


def lock_holder(environment: Mapping[str, str] = os.environ) -> str:
    """Name who holds a lock: a workflow run, also at its next attempt; on a laptop, this process alone."""
    name = run_name(environment)
    return name if environment.get("GITHUB_RUN_ID") else f"{name} (process {os.getpid()})"


def run_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the address of this workflow run; None on a laptop."""
    try:
        server, repository, number = (environment[f"GITHUB_{part}"] for part in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    except KeyError:
        return None
    return f"{server}/{repository}/actions/runs/{number}"


def signer(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the identity with which the workflow `release` of the main branch signs; None outside of GitHub."""
    repository = environment.get("GITHUB_REPOSITORY")
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")
    return f"{server}/{repository}/{WORKFLOW}@refs/heads/main" if repository else None


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
