"""Panels of Kibana's dashboards: each search as Lens sends it, on what the shipper brought to Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from elk.kibana import fields, fleet_logs, model
from elk.kibana.conditions import has
from elk.kibana.panels import Dashboard, Panel
from scenarios.observability.report import SearchedPanel
from slipway.clients.elasticsearch.connection import connect
from slipway.settings import settings
from slipway.timestamps import iso


def search(usecase: str, start: float, end: float) -> Iterator[SearchedPanel]:
    """Yield what each panel finds of the time of the scenario."""
    client, config = connect(settings()), settings()
    moments = (iso(datetime.fromtimestamp(moment, UTC)) for moment in (start, end))
    times = {"range": {"@timestamp": dict(zip(("gte", "lte"), moments, strict=True))}}
    own = has(fields.ENVIRONMENT, config.environment).query()
    for dashboard, panel in _panels(usecase):
        conditions = [times, own, *(condition.query() for condition in dashboard.of)]
        found = client.search(index=panel.view.pattern, track_total_hits=True, **panel.search(*conditions))
        number = found["hits"]["total"]["value"]
        yield SearchedPanel(dashboard.title, panel.title, number, found["took"], panel.may_be_empty)


def empty(found: Sequence[SearchedPanel]) -> list[str]:
    """Name the panels that found nothing, although they must."""
    return [one.panel for one in found if not one.documents and not one.may_be_empty]


def _panels(usecase: str) -> Iterator[tuple[Dashboard, Panel]]:
    for dashboard in (model.dashboard(usecase), fleet_logs.dashboard()):
        yield from ((dashboard, panel) for panel in dashboard.panels if isinstance(panel, Panel))
