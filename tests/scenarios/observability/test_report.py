"""Tables of the observation, in the output and in the docs."""

from __future__ import annotations

from scenarios.observability import panels, report
from scenarios.observability.report import AlertObservation, PanelObservation

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


def test_a_panel_is_empty_if_none_of_its_queries_has_a_series():
    found = [PanelObservation("Model", panel, "x", series, "", 0.0) for panel, series in (("A", 0), ("A", 1), ("B", 0))]
    found.append(PanelObservation("Resources and GPU", next(iter(panels.EMPTY)), "x", 0, "", 0.0))
    assert panels.empty(found) == ["B"]
