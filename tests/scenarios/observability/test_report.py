"""Tables of the observation, in the output and in the docs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from grafana.interpolation import queries
from scenarios.observability import kibana_panels, panels, report
from scenarios.observability.report import AlertObservation, FirstDelivery, PanelObservation, SearchedPanel, StoryStep
from scenarios.observability.scenario import every_fault

DELIVERED = FirstDelivery(active=1.25, pending=2.0, group_wait=0.5, arrived=4.0)
DRIFT = AlertObservation("SlipwayDrift", "others apply", 3.21, DELIVERED, ("retraining", "tickets"), 1.0)
NEVER = AlertObservation("A", "b", None, None, (), None)


def test_an_alert_held_if_it_fired_was_delivered_and_was_cleared():
    assert DRIFT.held
    assert not replace(DRIFT, cleared=None).held
    assert not NEVER.held


def test_a_table_row_says_what_happened_and_when():
    lines = report.alert_lines([DRIFT, NEVER])
    assert lines[-2:] == [
        "| `SlipwayDrift` | others apply | 1.2 | 2 | 3.2 | retraining, tickets | 0.5 | 4.0 | 0.2 | 1.0 |",
        "| `A` | b | | | never | nobody | | never | | never |",
    ]
    assert len({line.count("|") for line in lines[-4:]}) == 1


@pytest.mark.parametrize(
    ("delivered", "held", "worst"),
    [
        (DELIVERED, True, "SlipwayDrift, 0.2 s"),
        (replace(DELIVERED, arrived=5.75), True, "SlipwayDrift, 2.0 s"),
        (replace(DELIVERED, group_wait=5.0), True, "Early, 0.0 s"),  # which the group did not wait for whole
        (replace(DELIVERED, arrived=6.0), False, "SlipwayDrift, 2.2 s"),
        (replace(DELIVERED, active=None), False, "SlipwayDrift, never"),  # Prometheus does not know since when
        (None, False, "SlipwayDrift, never"),
    ],
)
def test_the_latest_alert_decides_whether_all_were_delivered_in_time(delivered, held, worst):
    early = replace(DRIFT, alert="Early", delivered=replace(DELIVERED, arrived=3.75))
    check = report.punctuality([early, replace(DRIFT, delivered=delivered)])
    assert (check.held, check.observed.startswith(f"the latest of 2, {worst}")) == (held, True)


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


def test_the_docs_list_every_alert_and_every_panel():
    alerts, shown = report.ALERTS_PAGE.read_text(), report.PANELS_PAGE.read_text()
    named = re.findall(r"^\| `(Slipway\w+)` \| ", alerts, re.MULTILINE)
    assert sorted(named) == sorted(alert for fault in every_fault() for alert in fault.alerts)
    for query in queries():
        assert f"| {query.panel} | `" in shown, query.panel


def test_a_story_is_a_table_of_steps_and_one_of_panels():
    steps = [StoryStep("a caller asks", "it has an id", True, 0.04), StoryStep("it is found", "so", True, 6.2)]
    searched = [SearchedPanel("Model", "Responses", 7, 3, ""), SearchedPanel("Model", "Failures", 0, 1, "none failed")]
    lines = report.story_lines(steps, searched)
    assert lines[2:4] == ["| a caller asks | it has an id | 0.0 |", "| it is found | so | 6.2 |"]
    assert lines[-2:] == ["| Model | Responses | 7 | 3 |", "| Model | Failures | none failed | 1 |"]


def test_a_panel_of_kibana_is_empty_if_it_has_no_document_and_no_reason():
    found = [SearchedPanel("Model", panel, number, 1, reason) for panel, number, reason in (("A", 1, ""), ("B", 0, ""))]
    assert kibana_panels.empty([*found, SearchedPanel("Model", "C", 0, 1, "the model is a regression")]) == ["B"]
