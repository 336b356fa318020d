"""Tables of what was observed, for people and for the docs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scenarios.harness.checks import Check
from scenarios.harness.pages import write_between
from scenarios.harness.shortened_rules import FACTOR
from scenarios.harness.shortened_servers import SCRAPE_SECONDS

MOST_LATE = 2 * SCRAPE_SECONDS  # Prometheus evaluates the rules as often as it scrapes
DOCS = Path(__file__).resolve().parents[2] / "docs" / "how-to"
ALERTS_PAGE, PANELS_PAGE = DOCS / "monitor-with-prometheus.md", DOCS / "use-grafana.md"
STORY_PAGE = DOCS / "search-predictions.md"
BEGIN, END = "<!-- observed: begin (make observe writes this part) -->", "<!-- observed: end -->"


@dataclass(frozen=True)
class FirstDelivery:
    """The first message with an alert, in seconds after its fault began.

    The expression held from `active` on, None where Prometheus does not know; the alert then has to be pending for
    `pending` seconds, and its group waits for `group_wait` seconds at most.
    """

    active: float | None
    pending: float
    group_wait: float
    arrived: float

    @property
    def late(self) -> float:
        """How many seconds later it arrived than it would if nothing took time but these two waits."""
        if self.active is None:
            return math.inf
        return max(0.0, self.arrived - self.active - self.pending - self.group_wait)


@dataclass(frozen=True)
class AlertObservation:
    """What was seen of an alert; times are seconds, None for what did not happen.

    It fired so long after the fault began, and was cleared so long after the fault was mended.
    """

    alert: str
    fault: str
    fired: float | None
    delivered: FirstDelivery | None
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


@dataclass(frozen=True)
class StoryStep:
    """A step of a prediction's story: what somebody does, what was observed, and the seconds since its request."""

    what: str
    observed: str
    held: bool
    seconds: float = 0.0


@dataclass(frozen=True)
class SearchedPanel:
    """What the search of a panel of Kibana found: the number of documents, the time, and why there may be none."""

    dashboard: str
    panel: str
    documents: int
    milliseconds: int
    may_be_empty: str


def punctuality(found: Sequence[AlertObservation]) -> Check:
    """Check that no alert was later than MOST_LATE."""
    late = {one.alert: one.delivered.late if one.delivered else math.inf for one in found}
    worst = max(late, key=lambda alert: late[alert])
    return Check(
        "all",
        f"delivered within `for`, the group's wait and {MOST_LATE} s",
        late[worst] <= MOST_LATE,
        f"the latest of {len(late)}, {worst}, {_seconds(late[worst])} s after `for` and the group's wait",
    )


def alert_lines(found: Sequence[AlertObservation]) -> list[str]:
    """Format the alerts as a table of the docs."""
    head = [
        f"Durations of the rules and waits of Alertmanager are divided by {FACTOR}; Prometheus scrapes and evaluates",
        "every second. Seconds after the fault began: pending since (the evaluation that found the expression to hold,",
        "`activeAt`), fired (the evaluation that fired), delivered (the first message arrived). Late: seconds from",
        f"pending to delivered beyond `for` and the group's wait; at most {MOST_LATE}, two evaluations. The group",
        "waits for `group_wait`, or up to `group_interval` where the alert, by any window, fired in the 15 minutes",
        "before. Cleared: seconds after the fault was mended.",
        "",
        "| alert | fault | pending since | `for` | fired | delivered to | group waits | delivered | late | cleared |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    return head + [_row(one) for one in found]


def _row(one: AlertObservation) -> str:
    first, fired, cleared = one.delivered, _seconds(one.fired), _seconds(one.cleared)
    if first is None:
        return f"| `{one.alert}` | {one.fault} | | | {fired} | nobody | | never | | {cleared} |"
    waited = f"{first.group_wait:.1f} | {first.arrived:.1f} | {_seconds(first.late)}"
    return (
        f"| `{one.alert}` | {one.fault} | {_seconds(first.active)} | {first.pending:.0f} | {fired} "
        f"| {', '.join(one.receivers)} | {waited} | {cleared} |"
    )


def panel_lines(found: Sequence[PanelObservation]) -> list[str]:
    """Format the panels as a table of the docs."""
    head = ["| dashboard | panel | query | series | a value |", "| --- | --- | --- | ---: | ---: |"]
    return head + [
        f"| {one.dashboard} | {one.panel} | `{one.query.replace('|', chr(92) + '|')}` | {one.series} | {one.value} |"
        for one in found
    ]


def story_lines(steps: Sequence[StoryStep], searched: Sequence[SearchedPanel]) -> list[str]:
    """Format the story of a prediction, and the panels of Kibana's dashboards, as tables of the docs."""
    lines = ["| step | observed | seconds |", "| --- | --- | ---: |"]
    lines += [f"| {one.what} | {one.observed} | {one.seconds:.1f} |" for one in steps]
    lines += ["", "| dashboard | panel | documents | ms |", "| --- | --- | ---: | ---: |"]
    return lines + [
        f"| {one.dashboard} | {one.panel} | {one.documents or one.may_be_empty} | {one.milliseconds} |"
        for one in searched
    ]


def write(page: Path, lines: Sequence[str]) -> None:
    """Put the lines between the two markers of a page."""
    write_between(page, BEGIN, END, lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None or value == math.inf else f"{value:.1f}"
