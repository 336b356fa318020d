"""Panels of the dashboards: each query as Grafana sends it, on what the local Prometheus recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from grafana.interpolation import DASHBOARDS, queries
from scenarios.harness import panel_queries
from scenarios.harness.prometheus_client import Prometheus
from scenarios.observability.report import PanelObservation

STEP = 5
# Panels and annotations without series in this scenario, and why
EMPTY = {
    "GPU memory": "there is no GPU",
    "GPU utilization": "there is no GPU",
    "Input warnings": "clients send no value that is unlike the training data",
    "Next credential expires in": "the key that ends is revoked before",
    "Retraining": "there are too few labelled rows for a training",
    "Rows in a batch": "the model is too small for batches",
}


def observe(prometheus: Prometheus, usecase: str, start: float, end: float) -> Iterator[PanelObservation]:
    """Yield what each query returns over the time of the scenario."""
    for query in queries():
        expression = panel_queries.expression(query, usecase, end - start)
        began = time.monotonic()
        if query.instant:
            found = prometheus.instant(expression, end)
        else:
            found = prometheus.range(expression, start, end, STEP)
        values = [series["value"] if query.instant else series["values"][-1] for series in found]
        value = f"{float(values[0][1]):.4g}" if values else ""
        dashboard = DASHBOARDS[query.dashboard]["title"].removeprefix("Slipway: ")
        yield PanelObservation(dashboard, query.panel, expression, len(found), value, time.monotonic() - began)


def empty(found: Sequence[PanelObservation]) -> list[str]:
    """Name the panels of which no query returned a series, although one must."""
    shown = {(one.dashboard, one.panel) for one in found if one.series}
    return sorted({one.panel for one in found if (one.dashboard, one.panel) not in shown} - EMPTY.keys())
