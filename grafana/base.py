"""Base of every dashboard: its uid, links to the others, the data source and the addresses it links to."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from grafana import links, variables
from grafana.addresses import Addresses


def base(uid: str, title: str, question: str, addresses: Addresses, since: str = "now-6h") -> Dashboard:
    """Return a dashboard without panels that answers `question`; bookmarks and links name it by `uid`, which stays."""
    found = (
        Dashboard(title)
        .uid(uid)
        .description(question)
        .tags([links.TAG])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .timezone("browser")
        .refresh("1m")
        .link(links.between_dashboards())
        .link(links.named("Status page", "${status}"))
        .with_variable(variables.source())
    )
    for constant in variables.addresses(addresses):
        found.with_variable(constant)
    return found
