"""Queries of panels: the committed ones, filled in for a Prometheus that scrapes every second."""

from __future__ import annotations

import pytest

from scenarios.harness import panel_queries


def test_a_query_is_filled_in_for_scrapes_of_a_second():
    query = panel_queries.find("slipway-model", "Requests by role", "{{role}}")
    filled = panel_queries.expression(query, "loans", 400.4)
    assert 'usecase=~"loans"' in filled and "[4s]" in filled and "$" not in filled


def test_queries_of_one_panel_differ_by_their_legend():
    high, bound = (panel_queries.find("slipway-model", "Quality", legend) for legend in ("high", "bound"))
    assert 'end="high"' in high.expression and "slipway_quality_bound" in bound.expression
    assert panel_queries.find("slipway-model", "Quality", "now").instant  # the figure on top


def test_a_panel_that_there_is_not_is_an_error():
    with pytest.raises(ValueError):
        panel_queries.find("slipway-model", "No such panel")
