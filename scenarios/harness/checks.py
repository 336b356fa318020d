"""What the demo and the loop check: a line each, with the figure that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """`seen` is the figure or the words that decided it; `subject` a use case, or `all` of them."""

    subject: str
    what: str
    held: bool
    seen: str


@dataclass
class Result:
    """What was checked, the files that a person may open, and how long all of it took."""

    checks: list[Check] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    @property
    def held(self) -> bool:
        return self.finished and all(check.held for check in self.checks)


def table(checks: Sequence[Check]) -> list[str]:
    """The checks as lines, those that did not hold marked so that nobody overlooks them."""
    subject = max(len(check.subject) for check in checks)
    what = max(len(check.what) for check in checks)
    return [
        f"  {'ok  ' if check.held else 'FAIL'}  {check.subject:{subject}}  {check.what:{what}}  {check.seen}"
        for check in checks
    ]
