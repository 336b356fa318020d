"""Checks of a scenario, each one line with the observed value, and their result as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """One checked property; `observed` is the observed value, `subject` a use case, or `all` of them."""

    subject: str
    what: str
    held: bool
    observed: str


@dataclass
class Result:
    """Checks of one run, the files that it leaves for a reader, and its duration."""

    checks: list[Check] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    @property
    def held(self) -> bool:
        """Whether the run finished and every check held."""
        return self.finished and all(check.held for check in self.checks)


def table(checks: Sequence[Check]) -> list[str]:
    """Format the checks as lines of a table; those that failed are marked FAIL."""
    subject = max(len(check.subject) for check in checks)
    what = max(len(check.what) for check in checks)
    return [
        f"  {'ok  ' if check.held else 'FAIL'}  {check.subject:{subject}}  {check.what:{what}}  {check.observed}"
        for check in checks
    ]
