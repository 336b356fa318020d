"""Pages of the documentation that benchmarks write into: the part of each that is between two markers."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- benchmark: begin (make bench writes this part) -->", "<!-- benchmark: end -->"


def write(lines: list[str], page: Path, part: str = "") -> None:
    """Put the tables between the two markers of the page, or of one of its parts."""
    begin, end = markers(part)
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text("\n".join([before + begin, *lines, end + after]))


def markers(part: str = "") -> tuple[str, str]:
    """The lines around the tables of a page, or of the part that has this name."""
    begin, end = (marker.replace("benchmark", f"benchmark {part}".rstrip(), 1) for marker in (BEGIN, END))
    return begin, end
