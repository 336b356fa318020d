"""Panels of the dashboards: each query as Grafana sends it, on what the local Prometheus recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator

from grafana.interpolation import DASHBOARDS, filled, intervals, queries
from scenarios.observability.prometheus_client import Prometheus
from scenarios.observability.report import PanelObservation
from scenarios.observability.servers import SCRAPE_SECONDS

STEP = 5
METRIC = "roc_auc"
# Panels without series in this scenario, and why
EMPTY = {
    "GPU": "there is no GPU",
    "GPU memory": "there is no GPU",
}


def observe(prometheus: Prometheus, usecase: str, start: float, end: float) -> Iterator[PanelObservation]:
    """Yield what each query returns over the time of the scenario."""
    own = intervals(SCRAPE_SECONDS, range_seconds=round(end - start))
    for query in queries():
        expression = filled(query, {"usecase": usecase, "metric": METRIC}, own)
        began = time.monotonic()
        if query.instant:
            found = prometheus.instant(expression, end)
        else:
            found = prometheus.range(expression, start, end, STEP)
        values = [series["value"] if query.instant else series["values"][-1] for series in found]
        value = f"{float(values[0][1]):.4g}" if values else ""
        dashboard = DASHBOARDS[query.dashboard]["title"].removeprefix("Slipway: ")
        yield PanelObservation(dashboard, query.panel, expression, len(found), value, time.monotonic() - began)


def must_have_series(panel: str) -> bool:
    """Tell whether a panel must show something here."""
    return panel not in EMPTY
