"""Figure of the table: what was measured, its limit, and whether it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Figure(NamedTuple):
    """A row of the table; `must` is the limit in words."""

    name: str
    measured: str
    must: str
    met: bool

    @property
    def row(self) -> str:
        """Format the figure as a row of the Markdown table."""
        return f"| {self.name} | {self.measured} | {self.must} | {'yes' if self.met else '**no**'} |"


def table(figures: Iterable[Figure]) -> list[str]:
    """Format the lines of the page."""
    head = ["| figure | measured | must be | met |", "| --- | --- | --- | --- |"]
    return head + [one.row for one in figures]
