"""Checks of what the dashboard shows of a loop: on what Prometheus recorded of one, and of others that went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.closed_loop import dashboard_checks, workspace
from scenarios.closed_loop.dashboard_checks import (
    ALERT_COUNT,
    ALERTS,
    BOUND,
    CHAMPIONS,
    HIGH,
    PROMOTIONS,
    QUALITY_LOW,
    ROLLBACKS,
    ROLLED_BACK,
    SCORE,
    SHARES,
    SOURCES,
    WEIGHTS,
    Points,
    Shown,
    Source,
)
from scenarios.harness import panel_queries
from scenarios.harness.checks import Check

# Of one run: of each curve the first second, the last second and the value of every part in which it stays the same
RECORDED = json.loads((Path(__file__).parent / "recorded_dashboard.json").read_text())
CHANGED, END = float(RECORDED["changed"]), float(RECORDED["end"])


def recorded() -> Shown:
    """Return what the dashboard showed of a loop in which all went well."""

    def points(runs: list[tuple[int, int, float]]) -> Points:
        return [(float(at), value) for first, last, value in runs for at in range(first, last + 1)]

    curves = {
        source: {name: points(runs) for name, runs in RECORDED["curves"][f"{source.panel} {source.legend}"].items()}
        for source in SOURCES
    }
    return Shown(curves, END)


def without(shown: Shown, source: Source, *names: str) -> Shown:
    """Remove curves of a source, or all of them."""
    rest = {name: points for name, points in shown.curves[source].items() if names and name not in names}
    return replace(shown, curves={**shown.curves, source: rest})


def changed(shown: Shown, source: Source, name: str, change: Callable[[float, float], float]) -> Shown:
    """Replace the values of a curve, of which `change` is given the time and the value."""
    points = [(at, change(at, value)) for at, value in shown.curves[source][name]]
    return replace(shown, curves={**shown.curves, source: {**shown.curves[source], name: points}})


def moved(shown: Shown, source: Source, name: str, seconds: float) -> Shown:
    """Show a curve earlier or later."""
    points = [(at + seconds, value) for at, value in shown.curves[source][name]]
    return replace(shown, curves={**shown.curves, source: {**shown.curves[source], name: points}})


def versions(shown: Shown) -> Check:
    return dashboard_checks.check_versions("loans", shown, "1", "2", workspace.STAGES)


def quality(shown: Shown) -> Check:
    return dashboard_checks.check_quality("loans", shown, CHANGED)


def rolled_back(shown: Shown) -> Check:
    return dashboard_checks.check_rolled_back("loans", shown, "2", "3")


CHECKS = (versions, quality, rolled_back)


@pytest.mark.parametrize("check", CHECKS)
def test_a_loop_is_seen_on_the_dashboard(check):
    found = check(recorded())
    assert found.held, found.observed


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_seen_where_nothing_was_recorded(check):
    assert not check(Shown({source: {} for source in SOURCES}, END)).held


NO_SHARE = "the share of each stage in turn"


@pytest.mark.parametrize(
    ("missing", "shown"),
    [
        (NO_SHARE, lambda full: without(full, SHARES, "1")),
        (NO_SHARE, lambda full: without(full, SHARES, "2")),
        # at once, or with a stage left out, or never more than a quarter
        (NO_SHARE, lambda full: changed(full, SHARES, "2", lambda at, value: float(value > 0.45))),
        (NO_SHARE, lambda full: changed(full, SHARES, "2", lambda at, value: 0.25 if 0.35 < value < 0.65 else value)),
        (NO_SHARE, lambda full: changed(full, SHARES, "2", lambda at, value: min(value, 0.25))),
        ("the weight of each stage in turn", lambda full: without(full, WEIGHTS, "2")),
        (
            "the weight of each stage in turn",
            lambda full: changed(full, WEIGHTS, "2", lambda at, weight: min(weight, 50)),
        ),
        ("champion 1 and then 2", lambda full: without(full, CHAMPIONS, "1")),
        ("champion 1 and then 2", lambda full: moved(full, CHAMPIONS, "2", -1000)),
        ("champion 2 alone at the end", lambda full: moved(full, CHAMPIONS, "2", -10)),
        ("champion 2 alone at the end", lambda full: moved(full, CHAMPIONS, "1", 1000)),
        ("a mark when 2 is promoted", lambda full: without(full, PROMOTIONS, "2")),
    ],
)
def test_versions_that_are_not_shown_fail(missing: str, shown: Callable[[Shown], Shown]) -> None:
    assert_missing(versions(shown(recorded())), missing)


@pytest.mark.parametrize(
    ("missing", "shown"),
    [
        ("a quality below its bound", lambda full: changed(full, HIGH, "", lambda at, value: 0.9)),
        ("a quality below its bound", lambda full: without(full, BOUND)),
        ("no such quality before the drift", lambda full: changed(full, HIGH, "", lambda at, value: 0.4)),
        (f"{QUALITY_LOW} when it is", lambda full: without(full, ALERTS, QUALITY_LOW)),
        (f"{QUALITY_LOW} when it is", lambda full: without(full, ALERT_COUNT)),
        (f"{QUALITY_LOW} when it is", lambda full: moved(full, ALERTS, QUALITY_LOW, -60)),
        (f"no {QUALITY_LOW} at the end", lambda full: moved(full, ALERTS, QUALITY_LOW, 120)),
        ("a quality above its bound at the end", lambda full: changed(full, SCORE, "", lambda at, value: 0.5)),
        ("a quality above its bound at the end", lambda full: moved(full, SCORE, "", -60)),
    ],
)
def test_a_quality_that_is_not_shown_fails(missing: str, shown: Callable[[Shown], Shown]) -> None:
    assert_missing(quality(shown(recorded())), missing)


@pytest.mark.parametrize(
    ("missing", "shown"),
    [
        ("a share of version 3", lambda full: without(full, SHARES, "3")),
        ("a share of version 3", lambda full: changed(full, SHARES, "3", lambda at, value: 0.0)),
        ("no share of it at the end", lambda full: changed(full, SHARES, "3", lambda at, value: 0.04)),
        ("version 2 alone at the end", lambda full: changed(full, SHARES, "2", lambda at, value: value / 2)),
        ("a mark when it is rolled back", lambda full: without(full, ROLLBACKS)),
        ("a mark when it is rolled back", lambda full: moved(full, ROLLBACKS, "", -120)),
        (f"{ROLLED_BACK} then", lambda full: without(full, ALERTS, ROLLED_BACK)),
        (f"{ROLLED_BACK} then", lambda full: moved(full, ALERTS, ROLLED_BACK, -120)),
        (f"{ROLLED_BACK} then", lambda full: changed(full, ALERT_COUNT, "", lambda at, value: 0.0)),
    ],
)
def test_a_rollback_that_is_not_shown_fails(missing: str, shown: Callable[[Shown], Shown]) -> None:
    assert_missing(rolled_back(shown(recorded())), missing)


def assert_missing(check: Check, missing: str) -> None:
    assert not check.held
    assert missing in check.observed.partition("; expected: ")[2].split(", "), check.observed


def test_roles_of_a_version_are_one_curve_and_no_traffic_is_no_point():
    found = [
        {"metric": {"version": "2", "role": "canary"}, "values": [[10, "0.25"], [11, "NaN"]]},
        {"metric": {"version": "2", "role": "champion"}, "values": [[10, "0.5"], [12, "1"]]},
        {"metric": {"version": "1", "role": "champion"}, "values": [[10, "0.25"]]},
    ]
    assert dashboard_checks.curves_by("version", found) == {"2": [(10, 0.75), (12, 1)], "1": [(10, 0.25)]}


def test_each_source_is_asked_for_by_the_query_of_its_dashboard_and_nothing_else():
    asked = []

    class Prometheus:
        def range(self, expression: str, *when: float) -> list:
            asked.append((expression, *when))
            return [{"metric": {}, "values": [[20, "1"]]}]

    shown = dashboard_checks.read(Prometheus(), "loans", 10.0, 20.0)
    found = [panel_queries.find(source.dashboard, source.panel, source.legend) for source in SOURCES]
    assert asked == [(panel_queries.expression(query, "loans", 10), 10.0, 20.0, 1) for query in found]
    assert shown.at_end(BOUND) == 1
