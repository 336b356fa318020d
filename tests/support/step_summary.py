"""Names the failed tests on the page of a workflow's run, where a person looks first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MOST = 50  # GitHub cuts a summary off at 1 MiB; a person reads less


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Append the failed tests, each with the last line of its reason, to the file of GITHUB_STEP_SUMMARY."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    failed = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])]
    if page and failed:
        with Path(page).open("a") as file:
            file.write(summary(failed))


def summary(failed: list[pytest.TestReport]) -> str:
    """Return the Markdown of the failed tests."""
    lines = [f"- `{report.nodeid}`: {_reason(report)}" for report in failed[:MOST]]
    if len(failed) > MOST:
        lines.append(f"- and {len(failed) - MOST} more")
    return "\n".join(["#### Failed tests", "", *lines, "", ""])


def _reason(report: pytest.TestReport) -> str:
    """Return the first line of the exception's message, as code."""
    crash = getattr(report.longrepr, "reprcrash", None)
    reason = crash.message if crash else str(report.longrepr)
    return f"`{reason.splitlines()[0][:200].replace('`', chr(39))}`" if reason.strip() else "no reason"
