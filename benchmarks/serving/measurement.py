"""Figures of a benchmark: pairs of measurements, their ratio, and its limits."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Measure = Callable[[], float]


class Effort(NamedTuple):
    """Effort of a benchmark: pairs per figure, and seconds for each half of a pair."""

    pairs: int
    seconds: float


class Figure(NamedTuple):
    """`ours` and `theirs` are what each pair measured, in `unit`: "/s", "s" or "MB".

    Pairs are compared by their ratio; where `difference` is set, by ours less theirs.
    """

    name: str
    must: str
    least: float | None
    most: float | None
    ours: list[float]
    theirs: list[float]
    unit: str = "/s"
    difference: bool = False

    @property
    def value(self) -> float:
        """Return the median of the pairs."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return statistics.median(a - b if self.difference else a / b for a, b in pairs)

    @property
    def met(self) -> bool:
        """Tell whether the value is within its limits."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def row(self) -> str:
        """Format the figure as a row of the Markdown table."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        value = f"{'+' if self.value >= 0 else '−'} {_formatted(abs(self.value), self.unit)}"
        verdict = "" if self.least is None and self.most is None else "yes" if self.met else "**no**"
        return (
            f"| {self.name} | {_formatted(ours, self.unit)} | {_formatted(theirs, self.unit)} | "
            f"{value if self.difference else f'{self.value:.2f}'} | {self.must} | {verdict} | {len(self.ours)} |"
        )


def _formatted(value: float, unit: str) -> str:
    if unit == "/s":
        return f"{value:,.0f}/s"
    if unit == "s" and value < 0.1:
        return f"{value * 1e3:.2f} ms"
    return f"{value:.2f} s" if unit == "s" else f"{value:.1f} {unit}"


def in_pairs(ours: Callable[[], T], theirs: Callable[[], T], pairs: int) -> tuple[list[T], list[T]]:
    """Measure interleaved, each second pair in reverse order, so that a noisy machine disturbs both alike."""
    found: tuple[list[T], list[T]] = ([], [])
    for index in range(pairs):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            found[side].append((ours, theirs)[side]())
    return found
