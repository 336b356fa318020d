"""Pages of the documentation that scenarios write into: the part of each that is between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_between(page: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Put the lines between the two markers of a page."""
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text("\n".join([before + begin, "", *lines, "", end + after]))
