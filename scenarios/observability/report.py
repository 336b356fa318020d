"""Tables of what was observed, for people and for the docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scenarios.harness.shortened_rules import FACTOR

DOCS = Path(__file__).resolve().parents[2] / "docs" / "how-to"
ALERTS_PAGE, PANELS_PAGE = DOCS / "monitor-with-prometheus.md", DOCS / "use-grafana.md"
BEGIN, END = "<!-- observed: begin (make observe writes this part) -->", "<!-- observed: end -->"


@dataclass(frozen=True)
class AlertObservation:
    """What was seen of an alert; times are seconds, None for what did not happen.

    It has to be pending for `pending` seconds. It fired and was delivered so long after the fault began, and was
    cleared so long after the fault was mended.
    """

    alert: str
    fault: str
    pending: float
    fired: float | None
    delivered: float | None
    receivers: tuple[str, ...]
    cleared: float | None

    @property
    def held(self) -> bool:
        """Whether it fired, was delivered, and was cleared."""
        return None not in (self.fired, self.delivered, self.cleared)


@dataclass(frozen=True)
class PanelObservation:
    """What a query of a panel returned: the number of series, the last value of the first, and the time it took."""

    dashboard: str
    panel: str
    query: str
    series: int
    value: str
    seconds: float


def alert_lines(found: Sequence[AlertObservation]) -> list[str]:
    """Format the alerts as a table of the docs."""
    head = [
        f"Durations of the rules and waits of Alertmanager are divided by {FACTOR}; Prometheus scrapes and",
        "evaluates every second. Fired and delivered: seconds after the fault began, of which `for` is what the rule",
        f"waits (divided by {FACTOR}); cleared: seconds after the fault was mended.",
        "",
        "| alert | fault | `for` | fired | delivered to | delivered | cleared |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: |",
    ]
    return head + [
        f"| `{one.alert}` | {one.fault} | {one.pending:.0f} | {_seconds(one.fired)} | {', '.join(one.receivers)} "
        f"| {_seconds(one.delivered)} | {_seconds(one.cleared)} |"
        for one in found
    ]


def panel_lines(found: Sequence[PanelObservation]) -> list[str]:
    """Format the panels as a table of the docs."""
    head = ["| dashboard | panel | query | series | a value |", "| --- | --- | --- | ---: | ---: |"]
    return head + [
        f"| {one.dashboard} | {one.panel} | `{one.query.replace('|', chr(92) + '|')}` | {one.series} | {one.value} |"
        for one in found
    ]


def write(page: Path, lines: Sequence[str]) -> None:
    """Put the lines between the two markers of a page."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"
