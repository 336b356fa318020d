"""Links from panels and table cells: to other dashboards, runbooks, the MLflow version and Kibana."""

from __future__ import annotations

import hashlib
import zlib
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from elk.kibana.data_views import PREDICTIONS, DataView

FLEET, MODEL, PIPELINES = "slipway-fleet", "slipway-model", "slipway-pipelines"
PREDICTION_LOG, RESOURCES = "slipway-prediction-log", "slipway-resources"
TAG = "slipway"
_LONGEST_UID = 40  # of Grafana
_CONTEXT = "${__url_time_range}&${namespace:queryparam}"
# Rison, the notation of Kibana's addresses
_KIBANA = (
    "${{kibana}}/app/discover#/?_g=(time:(from:'${{__from:date:iso}}',to:'${{__to:date:iso}}'))"
    "&_a=(dataSource:(dataViewId:'{view}',type:dataView),query:(language:kuery,query:'{query}'))"
)
_KIBANA_DASHBOARD = (
    "${{kibana}}/app/dashboards#/view/{id}?_g=(time:(from:'${{__from:date:iso}}',to:'${{__to:date:iso}}'))"
    "&_a=(query:(language:kuery,query:'{query}'))"
)


def dashboard(uid: str) -> str:
    """Return the address of a dashboard, with this one's time, environment and use cases."""
    return f"/d/{uid}?{_CONTEXT}&${{usecase:queryparam}}"


def model(usecase: str) -> str:
    """Return the address of a use case's Model dashboard; `usecase` is what Grafana replaces with its name."""
    return f"/d/{MODEL}?{_CONTEXT}&var-usecase={usecase}"


def model_panel(kind: str, title: str, usecase: str = "${usecase}") -> str:
    """Return the address of one panel of a use case's Model dashboard."""
    return f"{model(usecase)}&viewPanel={panel_id(kind, title)}"


def model_uid(usecase: str) -> str:
    """Return the uid of the Model dashboard that a use case has of its own."""
    uid = f"{MODEL}-{usecase}"
    if len(uid) <= _LONGEST_UID:
        return uid
    digest = hashlib.sha256(usecase.encode()).hexdigest()[:8]
    return f"{uid[: _LONGEST_UID - 9]}-{digest}"


def panel_id(kind: str, title: str) -> int:
    """Return the number by which links name a panel: by its kind and title, so it stays when others are added."""
    return zlib.crc32(f"{kind} {title}".encode()) % 1_000_000


def runbook(alert: str) -> str:
    return f"${{runbooks}}/{alert}.md"


def mlflow_version(usecase: str, version: str) -> str:
    """Return the address of a version in MLflow, whose registered model is named after the use case."""
    return f"${{mlflow}}/#/models/{usecase}/versions/{version}"


def kibana(query: str, view: DataView = PREDICTIONS) -> str:
    """Return the address of the documents of a data view that a query finds in this time; variables stay."""
    return _KIBANA.format(view=view.id, query=_quoted(query))


def kibana_dashboard(id: str, query: str) -> str:
    """Return the address of one of Kibana's dashboards, of what a query finds in this time."""
    return _KIBANA_DASHBOARD.format(id=id, query=_quoted(query))


def _quoted(query: str) -> str:
    return quote(query, safe='${}:."')


def named(title: str, url: str) -> DashboardLink:
    """Return a link of a panel, a cell or a dashboard to one address."""
    return DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(not url.startswith("/d/"))


def between_dashboards() -> DashboardLink:
    """Return the links to all dashboards of Slipway, with the variables and the time of this one."""
    return DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).include_vars(True).keep_time(True)
