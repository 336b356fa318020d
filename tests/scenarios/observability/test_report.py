"""Tables of the observation, in the output and in the docs."""

from __future__ import annotations

import re

from grafana.interpolation import queries
from scenarios.observability import report
from scenarios.observability.report import AlertObservation, PanelObservation
from scenarios.observability.scenario import every_fault

DRIFT = AlertObservation("SlipwayDrift", "others apply", 0.0, 3.21, 4.0, ("retraining", "tickets"), 1.0)


def test_an_alert_held_if_it_fired_was_delivered_and_was_cleared():
    assert DRIFT.held
    assert not AlertObservation("A", "b", 0.0, 1.0, 2.0, ("pages",), None).held
    assert not AlertObservation("A", "b", 0.0, None, None, (), None).held


def test_a_table_row_says_what_happened_and_when():
    never = AlertObservation("A", "b", 5.0, None, None, (), None)
    assert report.alert_lines([DRIFT, never])[-2:] == [
        "| `SlipwayDrift` | others apply | 0 | 3.2 | retraining, tickets | 4.0 | 1.0 |",
        "| `A` | b | 5 | never |  | never | never |",
    ]


def test_a_query_breaks_no_table():
    line = report.panel_lines([PanelObservation("Fleet", "Models", 'x{a=~"b|c"}', 2, "0.5", 0.01)])[-1]
    assert line == '| Fleet | Models | `x{a=~"b\\|c"}` | 2 | 0.5 |'


def test_the_tables_replace_those_between_the_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(page, ["new"])
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


def test_the_docs_tell_of_every_alert_and_every_panel():
    alerts, panels = report.ALERTS_PAGE.read_text(), report.PANELS_PAGE.read_text()
    named = re.findall(r"^\| `(Slipway\w+)` \| ", alerts, re.MULTILINE)
    assert sorted(named) == sorted(alert for fault in every_fault() for alert in fault.alerts)
    for query in queries():
        assert f"| {query.panel} | `" in panels, query.panel
