"""Queries of the dashboards' panels, as Grafana sends them to the Prometheus of a scenario."""

from __future__ import annotations

from grafana.interpolation import Query, filled, intervals, queries
from scenarios.harness.shortened_servers import SCRAPE_SECONDS

METRIC = "roc_auc"


def expression(query: Query, usecase: str, seconds: float) -> str:
    """Return the PromQL of a query for one use case, over a time range of so many seconds."""
    own = intervals(SCRAPE_SECONDS, range_seconds=round(seconds))
    return filled(query, {"usecase": usecase, "metric": METRIC}, own)


def find(dashboard: str, panel: str, legend: str = "") -> Query:
    """Find the query with this legend of a panel, or that of an annotation."""
    [found] = [one for one in queries() if (one.dashboard, one.panel, one.legend) == (dashboard, panel, legend)]
    return found
